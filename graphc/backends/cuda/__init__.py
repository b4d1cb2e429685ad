"""The backend "cuda": fused kernels in Numba's CUDA Python, rendered from kernel IR."""
