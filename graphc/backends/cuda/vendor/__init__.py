"""Vendors' libraries in place of own kernels: what they take, how they are called, and which of the two is faster."""
