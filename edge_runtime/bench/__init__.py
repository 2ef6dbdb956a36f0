"""How fast a bundle answers on this machine, and what it costs in memory."""
