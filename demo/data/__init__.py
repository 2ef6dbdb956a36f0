"""Synthetic pictures with questions and answers, the same on every machine."""
