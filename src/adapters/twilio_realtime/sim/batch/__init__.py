"""Random calls, one or thousands: drawn from a seed, run, checked and summarised."""
