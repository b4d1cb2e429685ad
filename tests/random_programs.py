"""Random programs: graphs of every kind of node over small shapes, with gradients, updates and awkward results.

`random_program(seed)` depends on its seed alone. Values stay of order one however deep the graph, and no jump (a floor,
a comparison, an argmax) stands on a value that was rounded, so that two correct engines agree up to rounding.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphc as gx
from graphc.ops.build import apply, cast
from graphc.ops.views import flip_view, join, pad_view, permute, reshape_to, slice_view

__all__ = ["RandomProgram", "random_program"]

SHAPES = (
    (),
    (1,),
    (5,),
    (3, 4),
    (4, 3),
    (2, 3, 4),
    (1, 4),
    (3, 1),
    (2, 1, 3, 2),
    (17,),
    (40, 3),
    (3, 40),
    (130,),
    (0, 3),
)
LARGE = (
    (300, 257),
    (257,),
    (300, 1),
    (70_000,),
    (20, 61, 64),
    (64, 20, 61),
    (8, 8, 30, 31),
    (3, 40_000),
    (40_000, 3),
    (),
)
UNARY = (
    "negative",
    "abs",
    "exp",
    "sigmoid",
    "softplus",
    "relu",
    "tanh",
    "log1p",
    "sqrt",
    "sin",
    "cos",
    "erf",
    "square",
)
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "divide", "atan2", "where")


@dataclass
class RandomProgram:
    """What `gx.compile` takes, and arrays for the inputs."""

    seed: int
    dtype: str
    inputs: list[gx.Tensor]
    outputs: list[gx.Tensor]
    updates: dict[gx.Parameter, gx.Tensor]
    parameters: list[gx.Parameter]
    arrays: list[np.ndarray[Any, Any]]


def random_program(seed: int, dtype: str | None = None, large: bool = False) -> RandomProgram:
    """A program grown in 20 to 120 steps, each a node or a function of a few; or a shorter one over large arrays."""
    chance = random.Random(seed)
    dtype = dtype or chance.choice(("float64", "float64", "float64", "float32"))
    if large:
        return _Grower(chance, dtype, LARGE, 200_000).run(seed, chance.randint(8, 30))
    return _Grower(chance, dtype, SHAPES, 2_000).run(seed, chance.randint(20, 120))


@dataclass
class _Grower:
    chance: random.Random
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    largest: int  # elements of a node
    floats: list[gx.Tensor] = field(default_factory=list)
    integers: list[gx.Tensor] = field(default_factory=list)  # exact, so are all decisions made on them
    parameters: list[gx.Parameter] = field(default_factory=list)
    inputs: list[gx.Tensor] = field(default_factory=list)
    arrays: list[np.ndarray[Any, Any]] = field(default_factory=list)

    def run(self, seed: int, size: int) -> RandomProgram:
        self._sources(np.random.default_rng(seed))
        growths: tuple[tuple[int, Callable[[], None]], ...] = (
            (8, self._unary), (10, self._binary), (10, self._view), (6, self._reduction), (2, self._matmul),
            (3, self._integer), (2, self._library), (1, self._image), (2, self._composite), (1, self._random),
            (1, self._gradient),
        )  # fmt: skip
        weights, kinds = zip(*growths, strict=True)
        for _ in range(size):
            self.chance.choices(kinds, weights)[0]()
        return RandomProgram(
            seed, self.dtype, self.inputs, self._outputs(), self._updates(), self.parameters, self.arrays
        )

    # Sources -----------------------------------------------------------------------------------------------------
    def _sources(self, rng: np.random.Generator) -> None:
        for i in range(self.chance.randint(1, 4)):
            shape = self.chance.choice(self.shapes)
            self.inputs.append(gx.input(f"x{i}", shape, self.dtype))
            self.arrays.append(rng.normal(size=shape).astype(self.dtype))
        self.inputs.append(gx.input("k", (7,), self.chance.choice(("int32", "int64"))))
        self.arrays.append(rng.integers(-9, 9, 7).astype(self.inputs[-1].dtype.numpy))
        twins = self.chance.choice(self.shapes)  # several parameters of one shape, so that they can trade values
        for i in range(self.chance.randint(1, 4)):
            shape = twins if i < 3 else self.chance.choice(self.shapes)
            self.parameters.append(gx.parameter(f"p{i}", rng.normal(size=shape), dtype=self.dtype))
        self.floats = [*self.inputs[:-1], *self.parameters]
        self.floats.append(gx.constant(rng.normal(size=(3, 4)), self.dtype))
        self.floats.append(gx.full((2, 3, 4), self.chance.choice((0.0, 1.0, -0.5)), self.dtype))
        self.integers = [self.inputs[-1], gx.arange(12, dtype="int32"), apply_iota((3, 4), 1)]

    # Growth ------------------------------------------------------------------------------------------------------
    def _pick(self) -> gx.Tensor:
        """Any float so far, the late ones more often."""
        pool = self.floats[-12:] if self.chance.random() < 0.6 else self.floats
        return self.chance.choice(pool)

    def _keep(self, tensor: gx.Tensor) -> None:
        if tensor.size <= self.largest and tensor.ndim <= 6:
            (self.floats if tensor.dtype.is_float else self.integers).append(tensor)

    def _unary(self) -> None:
        op, x = self.chance.choice(UNARY), self._pick()
        if op in ("exp", "square"):
            x = gx.sin(x)
        elif op in ("log1p", "sqrt"):
            x = gx.abs(x) + 0.125  # away from the kink
        self._keep(getattr(gx, op)(x))

    def _binary(self) -> None:
        op, x = self.chance.choice(BINARY), self._pick()
        partners = [y for y in self.floats if _meet(x.shape, y.shape)]
        y = self.chance.choice(partners)
        if op == "divide":
            self._keep(x / (1.5 + gx.sin(y)))
        elif op == "atan2":
            self._keep(gx.atan2(x, 2 + gx.cos(y)))
        elif op == "where":
            shape = np.broadcast_shapes(x.shape, y.shape)
            bits = gx.arange(math.prod(shape), dtype="int32").reshape(shape) % self.chance.randint(2, 5) == 1
            self._keep(gx.where(bits, x, y))
        else:
            result = getattr(gx, op)(x, y)
            self._keep(gx.sin(result) if op == "multiply" else result)

    def _view(self) -> None:
        pool = self.integers if self.chance.random() < 0.15 else self.floats
        x = self.chance.choice(pool[-12:])
        self._keep(
            self.chance.choice((_reshaped, _permuted, _sliced, _padded, _joined, _flipped, _spread))(self.chance, x)
        )

    def _reduction(self) -> None:
        x = self._pick()
        axes = tuple(axis for axis in range(x.ndim) if self.chance.random() < 0.5)
        name = self.chance.choice(("sum", "mean", "max", "min", "logsumexp", "var"))
        if not x.size:
            name = "sum"
        result = getattr(gx, name)(x, axes, keepdims=self.chance.random() < 0.3)
        self._keep(gx.sin(result) if name == "sum" else result)

    def _composite(self) -> None:
        x = self._pick()
        if not x.ndim or not x.size:
            return
        axis = self.chance.randrange(x.ndim)
        centred = x - gx.mean(x, axis, keepdims=True)
        choices = (
            lambda: gx.softmax(x, axis), lambda: gx.log_softmax(x, axis), lambda: gx.gelu(x), lambda: gx.silu(x),
            lambda: centred / gx.sqrt(gx.mean(centred * centred, axis, keepdims=True) + 0.1),
            lambda: gx.roll(x, self.chance.randint(-3, 3), axis), lambda: gx.tril(x) if x.ndim > 1 else x,
        )  # fmt: skip
        self._keep(self.chance.choice(choices)())

    def _matmul(self) -> None:
        x = self._pick()
        if x.ndim < 2:
            x = reshape_to(x, (1, x.size))
        depth = x.shape[-1]
        partners = [y for y in self.floats if y.ndim == 2 and depth in y.shape]
        w = self.chance.choice(partners) if partners else gx.swapaxes(x, -1, -2)
        w = w if w.shape[-2] == depth else gx.swapaxes(w, -1, -2)
        if w.shape[-2] != depth or (w.ndim > 2 and w.shape[:-2] != x.shape[:-2]):
            return
        if depth * math.prod(x.shape[:-1]) * w.shape[-1] <= 20_000_000:
            self._keep(gx.matmul(x, w) / max(depth, 1))

    def _integer(self) -> None:
        a, b = self.chance.choice(self.integers), self.chance.choice(self.integers)
        c = self.chance.randint(-4, 5)
        choices = [
            a * c + 1,
            a // (c or 3),
            a % (c or 3),
            gx.minimum(a, c),
            abs(a),
            (a & 3) | 4,
            a ^ c,
            (a & 7) << 2,
            a >> 1,
        ]
        if a.size:
            choices += [gx.sum(a, tuple(axis for axis in range(a.ndim) if self.chance.random() < 0.5)), gx.max(a)]
        if _meet(a.shape, b.shape):
            choices += [a + b, gx.where(a < b, a, b), gx.where((a > b) & ~(a == c), b - a, a * 2)]
        self._keep(self.chance.choice(choices))
        self._keep(gx.sin(cast(self.integers[-1], self.floats[0].dtype)))

    def _library(self) -> None:
        x = self._pick()
        if not x.ndim or not x.size:
            return
        axis = self.chance.randrange(x.ndim)
        index = gx.remainder(self.chance.choice(self.integers), x.shape[axis])
        choices = [lambda: gx.cumsum(x, axis) / x.shape[axis]]
        if index.size * x.size // x.shape[axis] <= self.largest and index.size:
            choices += [lambda: gx.take(x, index, axis)] * 2
        if index.ndim == 1 and index.size:
            updates = gx.broadcast_to(gx.sin(gx.mean(x)), (*x.shape[:axis], index.size, *x.shape[axis + 1 :]))
            choices += [lambda: gx.scatter_add(x, index, updates, axis)]
        self._keep(self.chance.choice(choices)())

    def _image(self) -> None:
        channels, height, width = self.chance.choice((1, 2, 4)), self.chance.randint(4, 7), self.chance.randint(4, 7)
        x = _resized(self._pick(), (2, channels, height, width))
        groups = self.chance.choice((1, channels))
        w = _resized(self._pick(), (groups * self.chance.choice((1, 2)), channels // groups, 3, 2))
        choices = (
            lambda: (
                gx.conv2d(x, w, padding=self.chance.randint(0, 1), stride=self.chance.randint(1, 2), groups=groups) / 6
            ),
            lambda: gx.max_pool2d(x, 2, stride=self.chance.randint(1, 2)),
            lambda: gx.avg_pool2d(x, 2, padding=1),
        )
        self._keep(self.chance.choice(choices)())

    def _random(self) -> None:
        shape = self._pick().shape
        draw = self.chance.choice((gx.uniform, gx.normal))
        self._keep(draw(shape, dtype=self.dtype, stream=len(self.floats)))

    def _gradient(self) -> None:
        y = self._pick()
        targets = self.chance.sample(self.floats, 2)
        loss = gx.sum(gx.sin(y))
        for gradient in gx.grad(loss, targets):
            self._keep(gx.tanh(gradient))

    # Results -----------------------------------------------------------------------------------------------------
    def _outputs(self) -> list[gx.Tensor]:
        late = self.floats[-15:] + self.integers[-4:]
        results = [self.chance.choice(late) for _ in range(self.chance.randint(1, 6))]
        awkward = (
            lambda: self.chance.choice(self.inputs), lambda: self.chance.choice(self.parameters),
            lambda: gx.constant(np.arange(3.0)), lambda: results[0], lambda: _reshaped(self.chance, results[0]),
            lambda: _permuted(self.chance, results[-1]), lambda: _sliced(self.chance, results[0]),
            lambda: reshape_to(self.parameters[0], (self.parameters[0].size,)), lambda: gx.stop_gradient(results[0]),
        )  # fmt: skip
        for _ in range(self.chance.randint(0, 3)):
            results.append(self.chance.choice(awkward)())
        self.chance.shuffle(results)
        return results

    def _updates(self) -> dict[gx.Parameter, gx.Tensor]:
        """Values of the right shape: other parameters (swaps), themselves, nodes that read them, or anything."""
        found: dict[gx.Parameter, gx.Tensor] = {}
        for p in self.parameters:
            fitting = [x for x in self.floats if x.shape == p.shape]
            twins = [q for q in self.parameters if q.shape == p.shape]
            other = self.chance.choice(fitting)
            choices = (
                other, self.chance.choice(twins), p * 0.5 + gx.tanh(other), gx.sin(self.chance.choice(twins)),
                reshape_to(_flipped(self.chance, p), p.shape), _resized(self._pick(), p.shape),
            )  # fmt: skip
            if self.chance.random() < 0.8:
                found[p] = self.chance.choice(choices)
        return found


# Views ---------------------------------------------------------------------------------------------------------------
def _meet(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast."""
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def apply_iota(shape: tuple[int, ...], axis: int) -> gx.Tensor:
    return apply("iota", shape=shape, axis=axis, dtype=gx.arange(1, dtype="int32").dtype)


def _resized(x: gx.Tensor, shape: tuple[int, ...]) -> gx.Tensor:
    """The first elements of `x` as an array of `shape`; zeros follow where there are too few."""
    flat, size = reshape_to(x, (x.size,)), math.prod(shape)
    flat = slice_view(flat, (0,), (min(size, x.size),))
    return reshape_to(pad_view(flat, (0,), (size - flat.size,)), shape)


def _reshaped(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """Another factorisation of the number of elements."""
    left, shape = x.size, []
    while left > 1 and len(shape) < 4:
        factor = chance.choice([f for f in range(1, left + 1) if left % f == 0])
        shape.append(factor)
        left //= factor
    return reshape_to(x, (*shape, left) if x.size else (0,))


def _permuted(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return permute(x, chance.sample(range(x.ndim), x.ndim))


def _sliced(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    starts, sizes, steps = [], [], []
    for extent in x.shape:
        step = chance.choice((1, 1, 1, 2, 3, -1, -1, -2))
        size = chance.randint(min(extent, 1), -(-extent // abs(step)))
        reach = abs(step) * (size - 1) if size else 0
        low = chance.randint(0, max(extent - 1 - reach, 0))
        starts.append(low + reach if step < 0 else low)
        sizes.append(size)
        steps.append(step)
    return slice_view(x, starts, sizes, steps)


def _padded(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    widths = [[chance.choice((0, 0, 1, 2)) for _ in x.shape] for _ in range(2)]
    return pad_view(x, *widths, chance.choice((0, 0, 1)))


def _joined(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    if not x.ndim:
        return x
    axis = chance.randrange(x.ndim)
    parts = [
        x,
        _flipped(chance, x),
        -x,
        slice_view(x, [0] * x.ndim, [min(n, 1) if a == axis else n for a, n in enumerate(x.shape)]),
    ]
    return join(chance.choices(parts, k=chance.randint(1, 3)), axis)


def _flipped(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return flip_view(x, [axis for axis in range(x.ndim) if chance.random() < 0.5])


def _spread(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.broadcast_to(x, (chance.randint(1, 3), *x.shape))
