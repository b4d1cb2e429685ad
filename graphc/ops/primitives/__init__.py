"""What a node can be: the records of `OPS`, each with its type rule, its derivatives and its reference.

Beside them stand builders that take exact arguments (views.py). `elementwise.unary` and `binary` declare with a record
the function of the same name, which makes operands fit and does nothing else. Rules call other functions by their names
(`invoke`): nothing here imports from functions/. What coercions need is declared beside them in build.py: `constant`,
`copy` and `part`.
"""

from graphc.ops.primitives import (
    activations,
    arithmetic,
    attention,
    comparison,
    contraction,
    convolution,
    exponential,
    extremes,
    gathering,
    loops,
    marks,
    pooling,
    random,
    reductions,
    scan,
    sorting,
    sources,
    trigonometry,
    views,
)

__all__ = [
    "activations", "arithmetic", "attention", "comparison", "contraction", "convolution", "exponential", "extremes",
    "gathering", "loops", "marks", "pooling", "random", "reductions", "scan", "sorting", "sources", "trigonometry",
    "views",
]  # fmt: skip
