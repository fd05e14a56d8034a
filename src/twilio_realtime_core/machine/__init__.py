"""The contract between a state machine and its driver: actions, timers, lifecycles, units."""
