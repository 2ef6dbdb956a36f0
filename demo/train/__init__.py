"""The demo model's training: towers, decoder, and the three stages of the paper."""
