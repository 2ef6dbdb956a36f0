"""The board: what it is, what fits, power, thermals, health, packaging."""
