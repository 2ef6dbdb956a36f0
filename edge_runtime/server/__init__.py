"""`edge-vl serve`: a front end that speaks HTTP, and a worker that holds the engine, in two processes."""
