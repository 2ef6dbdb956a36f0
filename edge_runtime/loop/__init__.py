"""Several questions answered at once, by one engine: rows of its cache, a fair queue, and the loop that does the work."""
