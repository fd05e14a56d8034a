"""Agents that are written for other frameworks, on the phone."""
