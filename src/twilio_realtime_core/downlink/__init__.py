"""From the model to the caller: audio, marks, and what the caller has heard."""
