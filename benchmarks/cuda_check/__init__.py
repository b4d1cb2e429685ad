"""`python -m benchmarks cuda-check`: one prepared script for the day a GPU is at hand; see command.py."""
