"""From a checkpoint to a bundle: reading checkpoints, the reference modules, and the graphs traced from them."""
