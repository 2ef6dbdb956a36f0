"""Calibration sets, ranges, INT8/INT4 graphs and their quality reports live here."""
