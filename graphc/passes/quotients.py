"""Quotients that autodiff leaves behind: equal factors cancel, also across sums and broadcasts.

A positive factor can be 0 in floating point by underflow alone; the left sides then give nan, the right sides the exact
value. Other results change by rounding only. A product is looked at as a constant times powers of factors, no
deeper than a fixed number of nodes, so the pass takes linear time. Division by a constant stays as it is (unless other
factors cancel): the mean of ones must be 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from graphc.ops.build import apply, broadcast_to, full_like, zeros_like
from graphc.ops.primitives.arithmetic import constant_scalar
from graphc.ops.primitives.views import reshape_to
from graphc.ops.record import WIDE_FLOAT
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, Rules
from graphc.scalar.ops import SCALARS

__all__ = ["REWRITES", "Quotients", "highest_taken_out", "row_shift"]

_DEPTH = 12  # how far above a division a product or sum is still looked at
_MOST_PARTS = 24  # nodes of a product that are looked at
_MOST_TERMS = 4


def _of_rows(x: Tensor, op: str, s: Tensor) -> Tensor:
    return apply("sum", apply(op, x, broadcast_to(s, x.shape)), axes=(1,))


def _over_row_sum(powers: Tensor) -> Tensor:
    total = reshape_to(apply("sum", powers, axes=(1,)), (powers.shape[0], 1))
    return apply("divide", powers, broadcast_to(total, powers.shape))


REWRITES = (
    Rewrite(
        "(x / p) * p", "x", Keeps.REAL, lambda x, y: x / apply("exp", y) * apply("exp", y),
        "p is positive by construction: exp, sigmoid, their sums, products, ...",
        differs={"x": (1.0,), "y": (-1000.0,)},
    ),
    Rewrite(
        "p * (x / p + y)", "x + p * y", Keeps.REAL, lambda x, y: apply("exp", y) * (x / apply("exp", y) + y),
        "whenever fewer divisions remain", differs={"x": (1.0,), "y": (-1000.0,)},
    ),
    Rewrite(
        "u * (1 - v) - (1 - u) * v", "u - v", Keeps.REAL, lambda x, y: x * (1 - y) - (1 - x) * y,
        "so the gradient of sigmoid and binary cross-entropy is p - y", differs={"x": (3e38, 6e4), "y": (3e38, 6e4)},
    ),
    Rewrite(
        "sum(x * broadcast(s))", "sum(x) * s", Keeps.REAL, lambda a, s: _of_rows(a, "multiply", s),
        "s no constant, the same along the axes of the sum", dtypes=WIDE_FLOAT,
        differs={"a": (1.0, 0.0), "s": (math.inf,)},
    ),
    Rewrite(
        "sum(x / broadcast(s))", "sum(x) / s", Keeps.REAL, lambda a, s: _of_rows(a, "divide", s), "the same",
        dtypes=WIDE_FLOAT, differs={"a": (1.0, 0.0), "s": (0.0,)},
    ),
    Rewrite(
        "exp(x) / broadcast(sum(exp(x)))", "exp(x - m) / broadcast(sum(exp(x - m)))", Keeps.REAL,
        lambda a: _over_row_sum(apply("exp", a)), "m is max(x), or 0 where that is infinite", differs={"a": (1000.0,)},
    ),
)  # fmt: skip

_POSITIVE = {op.name for op in SCALARS.values() if op.is_positive}
_KEEPS_SIGN = {
    "add", "multiply", "divide", "maximum", "minimum", "sqrt", "sum", "max", "min", "broadcast_to", "reshape",
    "transpose", "slice",
}  # fmt: skip
_SEEN_THROUGH = {"multiply", "divide", "negative", "reshape"}
_TRANSPARENT = {"multiply", "negative", "add", "subtract", "broadcast_to", "reshape"}

Path = tuple[tuple[str, Mapping[str, Any]], ...]


@dataclass
class _Product:
    """constant * product(above) / product(below); `divisions`, save by constants, are those of its nodes."""

    constant: float = 1.0
    above: list[Tensor] = field(default_factory=list)
    below: list[Tensor] = field(default_factory=list)
    divisions: int = 0

    def times(self, other: _Product) -> _Product:
        return _Product(
            self.constant * other.constant, self.above + other.above, self.below + other.below,
            self.divisions + other.divisions,
        )  # fmt: skip


class Quotients:
    """The rules, with the distance of each visited node from a division below it: far from any, nothing is done."""

    def __init__(self, *, shift: bool) -> None:
        """`shift`: whether quotients of an exponential and its sum are shifted, which hides them from other rules."""
        self.distance: dict[Tensor, int] = {}
        self.shift = shift

    @property
    def rules(self) -> Rules:
        return {
            **dict.fromkeys(("negative", "broadcast_to", "reshape"), (self._measure,)),
            **dict.fromkeys(("add", "subtract"), (self._measure, _difference)),
            "multiply": (self._measure, self._cancel),
            "divide": (self._measure, self._cancel),
            "sum": (_hoist,),
        }

    def _measure(self, node: Tensor) -> None:
        if node.op == "divide":
            self.distance[node] = 0
        elif node.op in _TRANSPARENT:
            nearest = min((self.distance.get(source, _DEPTH) for source in node.inputs), default=_DEPTH)
            if nearest + 1 < _DEPTH:
                self.distance[node] = nearest + 1

    def _cancel(self, node: Tensor) -> Tensor | None:
        if node not in self.distance or not node.dtype.is_float:
            return None
        product = _read(node)
        shifted = _shift(product) if self.shift else None
        cancelled = _cancelled(product if shifted is None else shifted)
        fewer = len(cancelled.below) < min(len(product.below), product.divisions)
        if shifted is not None or fewer:
            return _build(cancelled, node) if _is_held(cancelled.constant, node) else None
        return _distribute(product, node)


def _is_held(constant: float, like: Tensor) -> bool:
    """Whether a constant factor neither overflows nor loses digits in the dtype of `like`."""
    smallest, largest = (2.0**-14, 65504.0) if like.dtype.name == "float16" else (2.0**-126, 2.0**127)
    return smallest <= abs(constant) <= largest


# Reading and writing products --------------------------------------------------------------------------------------
def _read(node: Tensor) -> _Product:
    """`node` as a product, looking through products, quotients, signs and the views of them."""
    product = _Product()
    pending: list[tuple[Tensor, bool, Path]] = [(node, True, ())]
    for _ in range(_MOST_PARTS):
        if not pending:
            break
        part, up, path = pending.pop()
        if part.op in ("multiply", "divide"):
            product.divisions += part.op == "divide" and constant_scalar(part.inputs[1]) is None
            pending.append((part.inputs[1], up == (part.op == "multiply"), path))
            pending.append((part.inputs[0], up, path))
        elif part.op == "negative":
            product.constant = -product.constant
            pending.append((part.inputs[0], up, path))
        elif part.op in ("broadcast_to", "reshape") and part.inputs[0].op in _SEEN_THROUGH:
            pending.append((part.inputs[0], up, ((part.op, part.attrs), *path)))
        else:
            _put(product, part, up, path)
    for part, up, path in pending:
        _put(product, part, up, path)
    return product


def _put(product: _Product, part: Tensor, up: bool, path: Path) -> None:
    value = constant_scalar(part)
    if value is not None and math.isfinite(value) and value:
        product.constant = product.constant * value if up else product.constant / value
        return
    for op, attrs in path:
        part = apply(op, part, **attrs)
    (product.above if up else product.below).append(part)


def _build(product: _Product, like: Tensor) -> Tensor:
    """The node of a product, of the type of `like`. Broadcast factors are kept together, so that they stay small."""
    above, rows_above = _split(product.above)
    below, rows_below = _split(product.below)
    scale = [] if product.constant == 1 and (above or rows_above) else [full_like(like, product.constant)]
    rows = rows_above + scale
    if rows_below:
        rows = [apply("divide", _times(rows) if rows else full_like(like, 1), _times(rows_below))]
    result = _times(above + rows)
    return apply("divide", result, _times(below)) if below else result


def _split(factors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    rows = [factor for factor in factors if factor.op == "broadcast_to"]
    return [factor for factor in factors if factor.op != "broadcast_to"], rows


def _times(factors: list[Tensor]) -> Tensor:
    return reduce(lambda a, b: apply("multiply", a, b), factors)


# Cancelling --------------------------------------------------------------------------------------------------------
def _cancelled(product: _Product) -> _Product:
    """The product without the positive factors that stand above and below."""
    above, below = list(product.above), []
    for factor in product.below:
        place = next((i for i, other in enumerate(above) if other is factor), None)
        if place is not None and _is_positive(factor):
            del above[place]
        else:
            below.append(factor)
    return _Product(product.constant, above, below, product.divisions)


def _is_positive(node: Tensor) -> bool:
    """Whether `node` is positive for all real inputs, as far as a few nodes tell."""
    pending = [node]
    for _ in range(_MOST_PARTS):
        if not pending:
            return True
        part = pending.pop()
        value = constant_scalar(part)
        if part.op in _POSITIVE or (value is not None and value > 0) or _complement_of_sigmoid(part):
            continue
        if part.op not in _KEEPS_SIGN:
            return False
        pending.extend(part.inputs)
    return False


def _complement_of_sigmoid(node: Tensor) -> bool:
    inner = _complement(node)
    return inner is not None and inner.op == "sigmoid"


def _complement(node: Tensor) -> Tensor | None:
    """`x` where `node` is 1 - x."""
    return node.inputs[1] if node.op == "subtract" and constant_scalar(node.inputs[0]) == 1 else None


def _distribute(product: _Product, like: Tensor) -> Tensor | None:
    """The product multiplied out over a sum among its factors, if that leaves fewer divisions."""
    for place, factor in enumerate(product.above):
        terms = _terms(factor)
        if len(terms) < 2:
            continue
        rest = _Product(product.constant, product.above[:place] + product.above[place + 1 :], product.below)
        whole = [rest.times(term) for term in terms]
        parts = [_cancelled(part) for part in whole]
        before = product.divisions + sum(term.divisions for term in terms)
        before = min(before, sum(len(part.below) for part in whole))
        if sum(len(part.below) for part in parts) < before and all(_is_held(part.constant, like) for part in parts):
            return reduce(lambda a, b: apply("add", a, b), [_build(part, like) for part in parts])
    return None


def _terms(node: Tensor) -> list[_Product]:
    """The terms of a sum or difference, in order; a single one for anything else, and for too many."""
    found: list[_Product] = []
    pending: list[tuple[Tensor, int]] = [(node, 1)]
    while pending:
        part, sign = pending.pop()
        if part.op in ("add", "subtract") and _complement(part) is None and len(found) + len(pending) < _MOST_TERMS:
            pending.append((part.inputs[1], sign if part.op == "add" else -sign))
            pending.append((part.inputs[0], sign))
        else:
            found.append(_Product(float(sign)).times(_read(part)))
    return found


# Sums --------------------------------------------------------------------------------------------------------------
def _difference(node: Tensor) -> Tensor | None:
    """u * (1 - v) - (1 - u) * v = u - v, with equal further factors in both terms."""
    if not node.dtype.is_float or any(source.op != "multiply" for source in node.inputs):
        return None
    first, second = (_read(source) for source in node.inputs)
    sign = 1 if node.op == "add" else -1
    opposite = first.constant + sign * second.constant == 0
    if first.below or second.below or not opposite or not _is_held(first.constant, node):
        return None
    common = [factor for factor in first.above if any(factor is other for other in second.above)]
    u, v = (_without(product.above, common) for product in (first, second))
    if len(u) != 2 or len(v) != 2:
        return None
    for plain, complemented in (u, u[::-1]):
        other = _complement(complemented)
        if other is not None and any(_complement(a) is plain and b is other for a, b in (v, v[::-1])):
            difference = apply("subtract", plain, other)
            return _build(_Product(first.constant, [difference, *common]), node)
    return None


def _without(factors: list[Tensor], common: list[Tensor]) -> list[Tensor]:
    return [factor for factor in factors if not any(factor is other for other in common)]


def _hoist(node: Tensor) -> Tensor | None:
    """sum(x * broadcast(s)) = sum(x) * s, and for quotients, where s is the same along the axes of the sum."""
    (x,) = node.inputs
    if x.op not in ("multiply", "divide") or node.dtype.name not in WIDE_FLOAT:
        return None
    axes = node.attrs["axes"]
    for place in (1, 0) if x.op == "multiply" else (1,):
        factor = _along(x.inputs[place], axes)
        if factor is not None:
            rest = apply("sum", x.inputs[1 - place], axes=axes)
            return apply(x.op, rest, broadcast_to(factor, node.shape))
    return None


def _along(x: Tensor, axes: tuple[int, ...]) -> Tensor | None:
    """What `x` repeats along all of `axes`, without those axes; None for constants and anything else."""
    if x.op != "broadcast_to" or constant_scalar(x) is not None:
        return None
    (source,) = x.inputs
    shape = (1,) * (x.ndim - source.ndim) + source.shape
    if any(shape[axis] != 1 for axis in axes):
        return None
    return reshape_to(source, tuple(size for axis, size in enumerate(shape) if axis not in axes))


# Softmax -----------------------------------------------------------------------------------------------------------
def row_shift(powers: Tensor, axes: tuple[int, ...]) -> Tensor | None:
    """max(x) over `axes`, 0 where infinite, for `powers` = exp(x); None where x is at most 0 already, or empty."""
    (x,) = powers.inputs
    if highest_taken_out(x) is not None or not x.size:
        return None
    highest = apply("max", x, axes=axes)
    return apply("where", apply("isfinite", highest), highest, zeros_like(highest))


def highest_taken_out(x: Tensor) -> Tensor | None:
    """max(y) where `x` is y - max(y), or y - m with such an m as `row_shift` makes."""
    if x.op != "subtract":
        return None
    y, shift = x.inputs
    while shift.op in ("broadcast_to", "reshape"):
        (shift,) = shift.inputs
    if shift.op == "where":
        finite, shift, other = shift.inputs
        if finite.op != "isfinite" or finite.inputs[0] is not shift or constant_scalar(other) != 0:
            return None
    return shift if shift.op == "max" and shift.inputs[0] is y else None


def _shift(product: _Product) -> _Product | None:
    """The product with exp(x) / sum(exp(x)) in it shifted; None where there is no such quotient."""
    for low, divisor in enumerate(product.below):
        total = divisor
        while total.op in ("broadcast_to", "reshape"):
            (total,) = total.inputs
        if total.op != "sum" or total.inputs[0].op != "exp":
            continue
        (powers,) = total.inputs
        high = next((i for i, factor in enumerate(product.above) if factor is powers), None)
        shift = None if high is None else row_shift(powers, total.attrs["axes"])
        if high is None or shift is None:
            continue
        (x,) = powers.inputs
        axes = total.attrs["axes"]
        ones = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        smaller = apply("exp", apply("subtract", x, broadcast_to(reshape_to(shift, ones), x.shape)))
        row = broadcast_to(reshape_to(apply("sum", smaller, axes=axes), ones), x.shape)
        above = [*product.above[:high], smaller, *product.above[high + 1 :]]
        below = [*product.below[:low], row, *product.below[low + 1 :]]
        return _Product(product.constant, above, below, product.divisions)
    return None
