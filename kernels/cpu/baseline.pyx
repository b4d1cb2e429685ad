"""The CPU kernels for the plainest instruction set of the machine's architecture."""

include "level.pxi"
