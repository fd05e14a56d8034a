"""The two connections of a call: the Media Stream and the Realtime session."""
