"""From the caller to the model: audio with its gaps filled."""
