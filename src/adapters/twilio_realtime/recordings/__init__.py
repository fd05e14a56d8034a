"""Recordings of calls: written, redacted, replayed and reported."""
