"""Scenarios: parts of calls, and whole calls by name."""
