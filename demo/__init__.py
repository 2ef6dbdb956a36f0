"""The demo model, its data and its training; until it is trained, small random checkpoints."""
