"""Engines that were built of a bundle: where they lie, what they were built for, and whether they are whole."""
