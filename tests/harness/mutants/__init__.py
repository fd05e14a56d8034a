"""Planted bugs, and how soon random calls find them: a test of what judges the calls."""
