"""One loop nest, or one call of a hand-written kernel, as the text of a CUDA kernel."""
