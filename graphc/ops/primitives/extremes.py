"""The larger and the smaller of two values, elementwise.

nan wins, as in NumPy, and 0.0 is larger than -0.0, as in IEEE 754-2019: which of the two NumPy answers with depends on
its instructions. On a tie each side has half of the derivative, so that the gradient of a symmetric function is
symmetric; beside nan each has all of it (both agree with PyTorch).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ops.build import invoke
from graphc.ops.elementwise import binary
from graphc.ops.record import ALL, Arg, Sample
from graphc.ops.tensor import Tensor

__all__ = ["larger", "largest", "maximum", "minimum", "smaller", "smallest"]


def _share(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """0 where a < b, half of `g` where they are equal, `g` elsewhere."""
    return invoke("where", a < b, 0, invoke("where", a == b, g * 0.5, g))


def larger(a: Any, b: Any) -> Any:
    """NumPy's maximum, with 0.0 above -0.0."""
    result = np.maximum(a, b)
    return np.where((a == 0) & (b == 0), a + b, result) if result.dtype.kind == "f" else result


def smaller(a: Any, b: Any) -> Any:
    """NumPy's minimum, with -0.0 below 0.0."""
    return -larger(-a, -b) if a.dtype.kind == "f" else np.minimum(a, b)


def largest(x: Any, axis: Any) -> Any:
    """NumPy's max, with 0.0 above -0.0."""
    result = np.max(x, axis=axis)
    if x.dtype.kind != "f":
        return result
    zero = np.where(np.any((x == 0) & ~np.signbit(x), axis=axis), 0.0, -0.0).astype(x.dtype)
    return np.where(result == 0, zero, result)


def smallest(x: Any, axis: Any) -> Any:
    """NumPy's min, with -0.0 below 0.0."""
    return -largest(-x, axis) if x.dtype.kind == "f" else np.min(x, axis=axis)


_TIES = Sample((Arg((3,), values=(1, 0, 1)), Arg((3,), values=(1, 1, 0))), grad=False, why="a tie has no derivative")
_CONVENTION = "on a tie each has half, beside nan each has all"

maximum = binary(
    "maximum", "The larger of x1 and x2; nan if either is; 0.0 of 0.0 and -0.0; on bools, or.",
    derivative="1 for the larger, 0 for the other",
    vjp=(lambda g, y, a, b: _share(g, a, b), lambda g, y, a, b: _share(g, b, a)),
    reference=larger, formula=np.maximum, accepts=ALL, convention=_CONVENTION, more=[_TIES], scalar=1,
    example="maximum([1.0, 3.0], 2)  # array([2., 3.], dtype=float32)",
)  # fmt: skip

minimum = binary(
    "minimum", "The smaller of x1 and x2; nan if either is; -0.0 of 0.0 and -0.0; on bools, and.",
    derivative="1 for the smaller, 0 for the other",
    vjp=(lambda g, y, a, b: _share(g, b, a), lambda g, y, a, b: _share(g, a, b)),
    reference=smaller, formula=np.minimum, accepts=ALL, convention=_CONVENTION, more=[_TIES], scalar=1,
    example="minimum([1.0, 3.0], 2)  # array([1., 2.], dtype=float32)",
)  # fmt: skip
