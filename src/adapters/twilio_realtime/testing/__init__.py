"""Tests of one's own agents, in simulated calls: a fixture, and strategies for Hypothesis."""
