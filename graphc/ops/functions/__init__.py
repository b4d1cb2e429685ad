"""What users call and is made of primitives: the compositions of `FUNCTIONS`, with NumPy's and PyTorch's arguments.

Each makes its operands fit and builds nodes. It has no derivative of its own, and the compiler fuses it back together.
"""

from graphc.ops.functions import (
    activations,
    arithmetic,
    attention,
    checkpoint,
    contraction,
    convolution,
    diagonals,
    einsum,
    elementary,
    gathering,
    indexing,
    joining,
    loops,
    piecewise,
    pooling,
    random,
    reductions,
    scan,
    selection,
    shapes,
    softmax,
    sorting,
    sources,
    statistics,
)

__all__ = [
    "activations", "arithmetic", "attention", "checkpoint", "contraction", "convolution", "diagonals", "einsum",
    "elementary", "gathering", "indexing", "joining", "loops", "piecewise", "pooling", "random", "reductions", "scan",
    "selection", "shapes", "softmax", "sorting", "sources", "statistics",
]  # fmt: skip
