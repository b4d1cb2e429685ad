"""The larger and the smaller of two values, elementwise.

nan wins, as in NumPy. On a tie each side has half of the derivative, so that the gradient of a symmetric function is
symmetric (and agrees with PyTorch).
"""

from __future__ import annotations

import numpy as np

from graphc.ops.elementwise import binary
from graphc.ops.record import ALL, Arg, Sample, call
from graphc.ops.tensor import Tensor

__all__ = ["maximum", "minimum"]


def _share(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`g` where a > b, half of it where they are equal, 0 elsewhere."""
    return call("where", a > b, g, call("where", a == b, g * 0.5, 0))  # type: ignore[no-any-return]


_TIES = Sample((Arg((3,), values=(1, 0, 1)), Arg((3,), values=(1, 1, 0))), grad=False, why="a tie has no derivative")

maximum = binary(
    "maximum", "The larger of x1 and x2; on bools, or.",
    derivative="1 for the larger, 0 for the other",
    vjp=(lambda g, y, a, b: _share(g, a, b), lambda g, y, a, b: _share(g, b, a)),
    reference=np.maximum, accepts=ALL, convention="on a tie each has half", more=[_TIES], scalar=1,
    example="maximum([1.0, 3.0], 2)  # array([2., 3.], dtype=float32)",
)  # fmt: skip

minimum = binary(
    "minimum", "The smaller of x1 and x2; on bools, and.",
    derivative="1 for the smaller, 0 for the other",
    vjp=(lambda g, y, a, b: _share(g, b, a), lambda g, y, a, b: _share(g, a, b)),
    reference=np.minimum, accepts=ALL, convention="on a tie each has half", more=[_TIES], scalar=1,
    example="minimum([1.0, 3.0], 2)  # array([1., 2.], dtype=float32)",
)  # fmt: skip
