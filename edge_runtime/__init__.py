"""All that a device needs to answer: numpy, Pillow, tokenizers and one engine."""
