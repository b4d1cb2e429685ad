"""Einstein summation: any product of tensors, summed over labelled axes.

    subscripts = "term,term->output"      term and output are letters and at most one "..."; "->output" may be left out

A repeated label in a term takes the diagonal; an ellipsis stands for axes that broadcast; a label with extent 1
broadcasts too, as in NumPy. Labels in one operand alone are summed first; the rest are contracted pair by pair, next
the pair whose result is smallest compared with what it replaces. A pair becomes a matrix product where a label is
summed over and left ones remain, else an elementwise product that fuses with what reads it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np

from graphc.errors import ShapeError, shown
from graphc.ir.types import promote
from graphc.ops import build
from graphc.ops.build import apply, as_tensor, cast
from graphc.ops.functions.contraction import matmul, total
from graphc.ops.functions.diagonals import diagonal
from graphc.ops.primitives.views import permute, reshape_to, shape_error
from graphc.ops.record import NUMERIC, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["einsum"]

Label = str | int  # letters, and 0, 1, ... for the axes of ellipses, counted from the right


@dataclass(frozen=True)
class _Term:
    """A tensor with a distinct label for each axis."""

    tensor: Tensor
    labels: tuple[Label, ...]

    def extents(self) -> dict[Label, int]:
        return dict(zip(self.labels, self.tensor.shape, strict=True))

    def ordered(self, labels: Sequence[Label]) -> Tensor:
        """The tensor with its axes in the order `labels`, which are all of its own."""
        return permute(self.tensor, tuple(self.labels.index(label) for label in labels))

    def summed(self, keep: Iterable[Label]) -> _Term:
        """The sum over all labels that are not in `keep`."""
        kept = tuple(label for label in self.labels if label in set(keep))
        axes = tuple(axis for axis, label in enumerate(self.labels) if label not in kept)
        return _Term(total(self.tensor, axes), kept)


def _sample(subscripts: str, *shapes: tuple[int, ...]) -> Sample:
    return Sample((subscripts, *(Arg(shape) for shape in shapes)))


@function(
    formula=lambda subscripts, *operands: np.einsum(subscripts, *operands),
    samples=(
        _sample("ij,jk->ik", (2, 3), (3, 4)),
        _sample("ij,jk", (2, 3), (3, 4)),
        _sample("bij,bkj->bik", (2, 2, 3), (2, 4, 3)),
        _sample("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)),
        _sample("i,i", (4,), (4,)),
        _sample("i,j->ji", (2,), (3,)),
        _sample("ii->i", (3, 3)),
        _sample("ii", (3, 3)),
        _sample("iij,jk->ki", (2, 2, 3), (3, 2)),
        _sample("ijk->kj", (2, 3, 4)),
        _sample("ba", (2, 3)),
        _sample("...i->...", (2, 3)),
        _sample("i...,i...->...", (3, 2), (3, 2)),
        _sample("ij,jk,kl,lm->im", (2, 3), (3, 2), (2, 4), (4, 2)),
        _sample("bhqd,bhkd->bhqk", (2, 2, 3, 2), (2, 2, 4, 2)),
        _sample("a,b,c->abc", (2,), (3,), (2,)),
        _sample("ij,ij->", (2, 3), (2, 3)),
        _sample(" i j , j -> i ", (2, 3), (3,)),
        _sample("ij,jk->ik", (2, 0), (0, 3)),
        _sample("ij,jk->ik", (2, 1), (3, 2)),
        _sample(",i->i", (), (3,)),
        _sample("->", ()),
    ),
    dtypes=NUMERIC,
    errors=(
        (ShapeError, ("ij,jk->ik", Arg((2, 3)), Arg((4, 5))), {}),
        (ShapeError, ("ij,jk->ik", Arg((2, 3))), {}),
        (ShapeError, ("ij->ij", Arg((2, 3, 4))), {}),
        (ShapeError, ("ij->ik", Arg((2, 3))), {}),
        (ShapeError, ("ij->ii", Arg((2, 3))), {}),
        (ShapeError, ("i$->i", Arg((2, 3))), {}),
        (ShapeError, ("i..->i", Arg((2, 3))), {}),
        (ShapeError, ("ii->i", Arg((2, 3))), {}),
        (ShapeError, ("...i->i", Arg((2, 3))), {}),
        (ShapeError, ("i->i->i", Arg((2,))), {}),
        (ShapeError, (3, Arg((2,))), {}),
    ),
)
def einsum(subscripts: str, *operands: Any) -> Tensor:
    """The sum of products of the operands' elements over the labels that the output does not have.

    Without "->", the output has the labels that occur once, in alphabetical order, after the ellipsis. The dtype is
    that to which the operands promote. Raises ShapeError for subscripts that do not fit, or extents that differ.

    >>> einsum("ij,jk->ik", build.full((2, 3), 1, build.DTYPES["float32"]), np.ones((3, 4), "float32")).shape
    (2, 4)
    """
    tensors = [as_tensor(operand) for operand in operands]
    inputs, output = _parse(subscripts, tensors)
    dtype = reduce(promote, (tensor.dtype for tensor in tensors))
    terms = [_distinct(cast(x, dtype), labels, subscripts) for x, labels in zip(tensors, inputs, strict=True)]
    terms = _drop_repeats(terms, subscripts)
    used = Counter(label for term in terms for label in term.labels) + Counter(output)
    terms = [term.summed([label for label in term.labels if used[label] > 1]) for term in terms]
    return _contract(terms, output).ordered(output)


# Subscripts ------------------------------------------------------------------------------------------------------
def _parse(subscripts: Any, tensors: Sequence[Tensor]) -> tuple[list[tuple[Label, ...]], tuple[Label, ...]]:
    """The labels of each operand and of the output."""
    if not isinstance(subscripts, str):
        raise shape_error(f'einsum takes subscripts such as "ij,jk->ik" first, not {shown(subscripts)}')
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise shape_error(f"einsum {subscripts!r} names {len(terms)} operands, {len(tensors)} came")
    for term in (*terms, right):
        rest = term.replace("...", "", 1)
        if rest and not (rest.isascii() and rest.isalpha()):
            raise shape_error(f"einsum {subscripts!r}: {term!r} is not made of letters and at most one ellipsis")
    inputs = [_labels(term, tensor, subscripts) for term, tensor in zip(terms, tensors, strict=True)]
    dots = sorted({label for labels in inputs for label in labels if isinstance(label, int)}, reverse=True)
    if arrow:
        return inputs, _output(right, inputs, dots, subscripts)
    counts = Counter(label for labels in inputs for label in labels if isinstance(label, str))
    return inputs, (*dots, *sorted(label for label, count in counts.items() if count == 1))


def _labels(term: str, tensor: Tensor, subscripts: str) -> tuple[Label, ...]:
    before, dots, after = term.partition("...")
    spare = tensor.ndim - len(before) - len(after)
    if spare < 0 or (spare and not dots):
        raise shape_error(
            f"einsum {subscripts!r}: {term!r} names {len(before) + len(after)} axes, the operand is {tensor.type}"
        )
    return (*before, *range(spare - 1, -1, -1), *after)


def _output(text: str, inputs: Sequence[tuple[Label, ...]], dots: Sequence[int], subscripts: str) -> tuple[Label, ...]:
    before, ellipsis, after = text.partition("...")
    if dots and not ellipsis:
        raise shape_error(f"einsum {subscripts!r}: the output needs an ellipsis, for the axes of the operands' ones")
    output: tuple[Label, ...] = (*before, *dots, *after)
    for label, count in Counter(output).items():
        if count > 1:
            raise shape_error(f"einsum {subscripts!r}: label {label!r} occurs twice in the output")
        if not any(label in labels for labels in inputs):
            raise shape_error(f"einsum {subscripts!r}: label {label!r} of the output is in no operand")
    return output


# Operands --------------------------------------------------------------------------------------------------------
def _distinct(tensor: Tensor, labels: tuple[Label, ...], subscripts: str) -> _Term:
    """The operand with the diagonal taken for each label that it repeats."""
    while len(set(labels)) < len(labels):
        label = next(label for label, count in Counter(labels).items() if count > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        if tensor.shape[first] != tensor.shape[second]:
            raise shape_error(
                f"einsum {subscripts!r}: label {label!r} repeats in an operand of {tensor.shape}, "
                f"with extents {tensor.shape[first]} and {tensor.shape[second]}"
            )
        tensor = diagonal(tensor, 0, first, second)
        labels = (*(other for axis, other in enumerate(labels) if axis not in (first, second)), label)
    return _Term(tensor, labels)


def _drop_repeats(terms: Sequence[_Term], subscripts: str) -> list[_Term]:
    """The terms without axes of extent 1 whose label has another extent elsewhere. Checks that extents agree."""
    extents: dict[Label, int] = {}
    for term in terms:
        for label, extent in term.extents().items():
            known = extents.setdefault(label, extent)
            if known == 1:
                extents[label] = extent
            elif extent not in (1, known):
                name = "an axis of the ellipsis" if isinstance(label, int) else f"label {label!r}"
                raise shape_error(f"einsum {subscripts!r}: {name} has extents {known} and {extent}")
    return [_without_ones(term, extents) for term in terms]


def _without_ones(term: _Term, extents: dict[Label, int]) -> _Term:
    kept = tuple(label for label, extent in term.extents().items() if extent == extents[label])
    return _Term(reshape_to(term.tensor, tuple(extents[label] for label in kept)), kept)


# Contraction -----------------------------------------------------------------------------------------------------
def _contract(terms: list[_Term], output: tuple[Label, ...]) -> _Term:
    while len(terms) > 1:
        i, j = min(combinations(range(len(terms)), 2), key=lambda pair: _growth(terms, pair, output))
        a, b = terms[i], terms[j]
        terms = [term for position, term in enumerate(terms) if position not in (i, j)]
        terms.append(_multiply(a, b, _needed(terms, output)))
    return terms[0]


def _needed(others: Sequence[_Term], output: Iterable[Label]) -> set[Label]:
    """The labels that must outlive a pair."""
    return {label for term in others for label in term.labels} | set(output)


def _growth(terms: Sequence[_Term], pair: tuple[int, int], output: Iterable[Label]) -> tuple[int, int]:
    """What contracting a pair costs: elements added, then multiplications."""
    a, b = (terms[position] for position in pair)
    extents = a.extents() | b.extents()
    needed = _needed([term for position, term in enumerate(terms) if position not in pair], output)
    size = math.prod(extent for label, extent in extents.items() if label in needed)
    return size - a.tensor.size - b.tensor.size, math.prod(extents.values())


def _multiply(a: _Term, b: _Term, needed: set[Label]) -> _Term:
    """The product of a pair, summed over the labels that nothing else needs."""
    shared = [label for label in a.labels if label in b.labels]
    batch = [label for label in shared if label in needed]
    inside = [label for label in shared if label not in needed]
    rows = [label for label in a.labels if label not in shared]
    columns = [label for label in b.labels if label not in shared]
    if inside and (rows or columns):
        return _matrix_product(a, b, batch, rows, inside, columns)
    order = (*batch, *inside, *rows, *columns)
    extents = a.extents() | b.extents()
    left, right = (_spread(term, order, extents) for term in (a, b))
    return _Term(apply("multiply", left, right), order).summed((*batch, *rows, *columns))


def _spread(term: _Term, order: Sequence[Label], extents: dict[Label, int]) -> Tensor:
    """The term's tensor repeated to all labels of `order`."""
    own = term.ordered([label for label in order if label in term.labels])
    ones = reshape_to(own, tuple(extents[label] if label in term.labels else 1 for label in order))
    return build.broadcast_to(ones, tuple(extents[label] for label in order))


def _matrix_product(
    a: _Term, b: _Term, batch: Sequence[Label], rows: Sequence[Label], inside: Sequence[Label], columns: Sequence[Label]
) -> _Term:
    extents = a.extents() | b.extents()
    sizes = [[extents[label] for label in group] for group in (batch, rows, inside, columns)]
    lead, m, k, n = sizes[0], *map(math.prod, sizes[1:])
    left = reshape_to(a.ordered((*batch, *rows, *inside)), (*lead, m, k))
    right = reshape_to(b.ordered((*batch, *inside, *columns)), (*lead, k, n))
    return _Term(reshape_to(matmul(left, right), (*lead, *sizes[1], *sizes[3])), (*batch, *rows, *columns))
