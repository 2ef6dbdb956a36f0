"""Engines that open graphs and run them."""
