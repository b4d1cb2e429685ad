"""Random programs of views of views: read by products, sums, joins and loops, and results as they stand.

`view_program(seed)` depends on its seed alone. The arrays are small, so that every slice meets edges: rows of padding,
ends of parts, single elements. Most views are read more than once, and by readers of different kinds.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

import graphc as gx
from graphc.api import build_graph
from tests.fuzz.program import FuzzProgram

__all__ = ["view_program"]

SHAPES = ((4, 4), (4, 3), (3, 4), (6,), (1, 4), (2, 3, 4))
VIEWS = 6  # views that a chain has at most
Tensors = list[gx.Tensor]


def view_program(seed: int, dtype: str = "float64") -> FuzzProgram:
    """A program of a few chains of views, their readers, and perhaps gradients and tangents through them."""
    chance = random.Random(seed)
    rng = np.random.default_rng(seed)
    shapes = [chance.choice(SHAPES) for _ in range(chance.randint(1, 3))]
    inputs = [gx.input(f"x{i}", shape, dtype) for i, shape in enumerate(shapes)]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    parameters = [gx.parameter("p", rng.normal(size=(4, 3)), dtype=dtype)]
    pool: Tensors = [*inputs, *parameters]
    for _ in range(chance.randint(2, 8)):
        tensor = chance.choice(pool[-6:])
        for _ in range(chance.randint(0, VIEWS)):
            tensor = chance.choice(VIEW)(chance, tensor)
            if chance.random() < 0.3:
                pool.append(tensor)
        pool += [tensor, chance.choice(READERS)(chance, tensor)]
        if chance.random() < 0.3:
            pool.append(_normalised(chance, pool[-1]))
    if chance.random() < 0.6:
        pool += _derivatives(chance, pool, inputs)
    outputs = [chance.choice(pool[-12:] if i < 3 else pool) for i in range(chance.randint(1, 6))]
    fitting = [tensor for tensor in pool if tensor.shape == (4, 3)]
    updates = {parameters[0]: chance.choice(fitting)} if chance.random() < 0.4 else {}
    graph, _ = build_graph(inputs, outputs, updates)
    return FuzzProgram(graph, tuple(arrays), f"view program {seed}")


# Views ---------------------------------------------------------------------------------------------------------------
def _axis(chance: random.Random, x: gx.Tensor) -> int:
    return chance.randrange(x.ndim)


def _swapped(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return x.T


def _flipped(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.flip(x, _axis(chance, x)) if x.ndim else x


def _stepped(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return x[:: chance.choice((2, -1, -2, 3))] if x.ndim else x


def _window(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """A few neighbours along one axis: often one row, often at an end."""
    if not x.ndim:
        return x
    axis = _axis(chance, x)
    size = min(chance.choice((1, 1, 2, 3)), x.shape[axis])
    start = chance.choice((0, x.shape[axis] - size, chance.randint(0, x.shape[axis] - size)))
    return x[(slice(None),) * axis + (slice(start, start + size),)]


def _padded(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    widths = [
        (chance.choice((0, 1, 4)), chance.choice((0, 1, 4))) if chance.random() < 0.6 else (0, 0) for _ in x.shape
    ]
    return _small(gx.pad(x, tuple(widths), constant_values=chance.choice((0.0, 0.5))) if x.ndim else x, x)


def _rolled(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.roll(x, chance.randint(-2, 2), _axis(chance, x)) if x.ndim else x


def _folded(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    factors = [f for f in range(1, x.size + 1) if x.size % f == 0]
    first = chance.choice(factors)
    return x.reshape(chance.choice(((x.size,), (first, x.size // first), (1, x.size), (x.size, 1))))


def _spread(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return _small(gx.broadcast_to(x, (chance.randint(1, 2), *x.shape)), x)


def _joined(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    if not x.ndim:
        return x
    parts = [chance.choice((x, gx.flip(x, 0), gx.sin(x), _window(chance, x) if x.ndim == 1 else x)) for _ in range(2)]
    return _small(gx.concatenate(parts, _axis(chance, x)), x)


def _small(result: gx.Tensor, before: gx.Tensor) -> gx.Tensor:
    """`result`, if it is no larger than these programs are to be."""
    return result if result.size <= 600 and result.ndim <= 4 else before


VIEW: tuple[Callable[[random.Random, gx.Tensor], gx.Tensor], ...] = (
    _swapped, _flipped, _stepped, _window, _window, _padded, _padded, _rolled, _folded, _spread, _joined,
)  # fmt: skip


# Readers -------------------------------------------------------------------------------------------------------------
def _product(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    matrix = x if x.ndim >= 2 else x.reshape((1, x.size))
    return gx.sin(_small(matrix @ gx.swapaxes(matrix, -1, -2), x))


def _bare_product(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    matrix = x if x.ndim >= 2 else x.reshape((x.size, 1))
    return _small(gx.swapaxes(matrix, -1, -2) @ matrix / matrix.shape[-2], x)


def _twice(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """A loop and a product that read the same view."""
    return gx.tanh(gx.sum(_bare_product(chance, x)) + gx.sum(x))


def _sums(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.sin(gx.sum(x, chance.choice((None, *range(x.ndim)))))


def _extremes(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return chance.choice((gx.max, gx.min))(x, chance.choice((None, *range(x.ndim))))


def _elementwise(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return chance.choice((gx.sin(x) * x, x + 0.5, gx.tanh(x), gx.relu(x) + _flipped(chance, x)))


def _stacked(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    parts = [chance.choice((x, gx.sin(x), _flipped(chance, x), -x)) for _ in range(chance.randint(2, 12))]
    return _small(gx.stack(parts, chance.randint(0, x.ndim)), x)


def _running(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.cumsum(x, _axis(chance, x)) / 4 if x.ndim else x


def _taken(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.take(x, gx.arange(3, dtype="int32") % x.shape[0], 0) if x.ndim else x


READERS: tuple[Callable[[random.Random, gx.Tensor], gx.Tensor], ...] = (
    _product, _product, _bare_product, _twice, _twice, _sums, _sums, _extremes, _elementwise,
    _elementwise, _stacked, _running, _taken,
)  # fmt: skip


def _normalised(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """A norm along some axis: with another around it and their gradients, groups reach around one another."""
    if not x.ndim:
        return x
    axis = _axis(chance, x)
    centred = x - gx.mean(x, axis, keepdims=True)
    return centred / gx.sqrt(gx.var(x, axis, keepdims=True) + 0.1)


def _derivatives(chance: random.Random, pool: Tensors, inputs: Tensors) -> Tensors:
    """Gradients and perhaps tangents of a weighted sum of a few tensors."""
    parts = [chance.choice(pool) for _ in range(chance.randint(1, 4))]
    weighted = [part * gx.cos(gx.arange(part.size, dtype=part.dtype)).reshape(part.shape) for part in parts]
    loss = sum((gx.sum(part) for part in weighted[1:]), gx.sum(weighted[0]))
    tangents = gx.jvp([loss], inputs, [gx.cos(x) for x in inputs]) if chance.random() < 0.4 else []
    return [loss, *(gx.tanh(g) for g in (*gx.grad(loss, inputs), *tangents))]
