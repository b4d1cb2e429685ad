"""Hand-written kernels, installed as `graphc.kernels`. They know nothing of the compiler above them."""
