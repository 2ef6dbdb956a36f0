"""`python -m edge_vl`."""

from edge_vl.entry import main

main()
