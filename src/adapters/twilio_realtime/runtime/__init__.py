"""What the drivers of all runtimes share: the base of a driver, byte streams, TLS."""
