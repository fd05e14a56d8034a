"""What a simulation injects: lost, late, wrong and repeated messages, cut links."""
