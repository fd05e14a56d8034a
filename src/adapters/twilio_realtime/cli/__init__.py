"""The `twilio-realtime` command: it serves calls, makes them, and simulates the model."""
