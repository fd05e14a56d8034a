"""Whose turn it is: the caller's speech, and when it interrupts the agent."""
