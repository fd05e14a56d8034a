"""The `twilio-realtime` command: serve calls, make them, and be the model at their other end."""
