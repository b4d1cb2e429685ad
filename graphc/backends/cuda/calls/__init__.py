"""The hand-written kernels of kernels/cuda, by op: their parameters, and their texts for one call."""
