"""Virtual time: machines, the links between them, and the order of events."""
