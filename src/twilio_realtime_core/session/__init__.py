"""The two links of a call: the Media Stream and the Realtime session."""
