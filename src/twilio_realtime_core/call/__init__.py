"""The state of one call, and what each message, event and command does to it."""
