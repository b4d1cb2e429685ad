"""Kernels for CUDA devices, and the primitives that rendered Numba kernels are written in.

`calls/`, in graphc/backends/cuda, says for each kernel what a call gives it.
"""
