"""Benchmarks: training steps beside PyTorch's, compile time, call overhead. `python -m benchmarks -h` tells how."""
