"""The CPU kernels for x86-64-v4 (AVX-512), with 512-bit vectors."""

include "level.pxi"
