"""Values that several parts share: conversation items, token usage, playback positions."""
