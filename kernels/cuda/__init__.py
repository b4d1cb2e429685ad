"""Kernels for CUDA devices, and the primitives that rendered Numba kernels are written in."""
