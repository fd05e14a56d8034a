"""How exactly an interruption tells what was heard: `make accuracy`."""
