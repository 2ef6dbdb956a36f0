"""`python -m edge_vl`."""

from edge_vl.cli import main

main()
