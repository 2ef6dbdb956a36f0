"""How checkpoints are laid out: what their files call things, and what their config.json leaves unsaid."""
