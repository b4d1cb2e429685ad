"""Texts of kernels become PTX and cubins, which are kept; no device is needed."""
