"""The two ends of a call, simulated, and the virtual time that joins them."""
