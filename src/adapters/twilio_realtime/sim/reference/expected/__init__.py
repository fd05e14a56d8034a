"""The reference model of a call: what is known of it from the inputs and outputs of its bridge."""
