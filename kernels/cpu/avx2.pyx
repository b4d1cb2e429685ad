"""The CPU kernels for x86-64-v3 (AVX2 and FMA)."""

include "level.pxi"
