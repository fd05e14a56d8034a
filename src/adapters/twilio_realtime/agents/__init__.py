"""Agents: async functions of a call, event handlers, functions that the model may call."""
