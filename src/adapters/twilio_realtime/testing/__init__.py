"""Tests of agents in simulated calls: a pytest fixture, and strategies for Hypothesis."""
