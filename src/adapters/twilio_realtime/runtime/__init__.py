"""What the drivers of all runtimes share: their base class, byte streams, TLS, accepting TCP."""
