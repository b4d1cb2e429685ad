"""One record per scalar op, and what is derived from it: see `ops`."""
