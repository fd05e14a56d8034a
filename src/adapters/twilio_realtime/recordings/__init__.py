"""Recorded calls: written, replayed and shown."""
