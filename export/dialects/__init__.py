"""One definition of the model, spelled once per family of engines."""
