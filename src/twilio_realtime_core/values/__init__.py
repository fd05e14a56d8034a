"""Values that several domains share: conversation items, token usage, playback positions."""
