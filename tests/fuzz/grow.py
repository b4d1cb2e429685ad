"""A random program from a seed, grown step by step over a pool of tensors whose values are known.

A step calls a function of the table on tensors of the pool, as its samples do; or it makes views of views, sums of
terms of several kinds, products of stored views, normalisations, gradients, tangents, checkpointed regions, loops.
Leaves of every kind come everywhere: inputs, parameters, constants, numbers. A tame program keeps its values within
bounds, so that what is wrong shows in the end; a wild one is short and takes any value, special ones first.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import graphc as gx
from graphc.api import build_graph
from graphc.errors import GraphcError
from graphc.ir.types import DTYPES
from graphc.ops.functions.loops import loop
from graphc.ops.primitives.views import reshape_to, slice_view
from graphc.ops.record import FUNCTIONS, Arg, Function
from graphc.ops.reference import evaluate
from tests.fuzz.adapt import meet, ranged, resized, typed, viewed
from tests.fuzz.program import Array, FuzzProgram
from tests.ops.helpers import elementwise_arity, flatten, random_array

__all__ = ["SEED", "STEP", "grow"]

SEED, STEP = 3, 5  # of the random numbers of every program
SHAPES = (
    (), (1,), (5,), (3, 4), (4, 3), (2, 3, 4), (1, 4), (3, 1), (2, 1, 3, 2), (17,), (40, 3), (3, 40), (130,), (0, 3),
)  # fmt: skip
LARGE_SHAPES = (
    (300, 257), (257,), (300, 1), (70_000,), (20, 61, 64), (64, 20, 61), (8, 8, 30, 31), (3, 40_000), (40_000, 3), (),
)  # fmt: skip
MOST, MOST_LARGE = 2_000, 200_000  # elements of a tensor
SPECIALS: dict[str, tuple[float, ...]] = {  # of 16 bits as of float32
    "float64": (np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -2e-310, 1.7e308, -1.7e308, 1.0, -1.0, 0.5, -2.5, 3.0),
    "float32": (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 3e38, -3e38, 1.0, -1.0, 0.5, -2.5, 3.0),
}
BOUND = 1e3  # a tame value is smaller
MAIN = ("float64",) * 9 + ("float32",) * 7 + ("float16", "bfloat16") * 2
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "fmod", "copysign", "hypot")
COMPARISONS = ("less", "equal", "greater_equal", "not_equal")
REDUCTIONS = ("sum", "mean", "max", "min", "prod", "logsumexp", "var", "std", "argmax", "cumsum", "any", "norm")
SORTS = ("sort", "argsort", "topk", "max_with_index", "min_with_index")
EINSUMS = (
    "ij,jk->ik", "ij,kj->ik", "ji,jk->ki", "ij,ij->i", "ij,ij->", "ijk,ik->ij", "ijk,mik->mij", "ij,k->kij", "ii->i",
    "ij->ji", "ij->", "ijk,jl->ikl", "i,i->", "ij,j->i", "aib,bjc->aijc",
)  # fmt: skip


def grow(seed: int, dtype: str | None = None, large: bool = False) -> FuzzProgram:
    """The program of a seed, the same in every process: of its own type or of `dtype`, over small or large arrays."""
    chance = random.Random(seed)
    wild = chance.random() < 0.25 and not large
    most = 10 if wild or large else 45
    grower = Grower(chance, np.random.default_rng(seed), dtype or chance.choice(MAIN), wild, large)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # flat losses, constants that overflow
        return grower.run(f"seed {seed}", chance.randint(1 if wild else 4, most))


@cache
def _arity(name: str) -> int:
    return elementwise_arity(name)


class Grower:
    """The pool, and what may be done to it."""

    def __init__(
        self, chance: random.Random, rng: np.random.Generator, dtype: str, wild: bool, large: bool = False
    ) -> None:
        self.chance, self.rng, self.dtype, self.wild = chance, rng, dtype, wild
        self.shapes, self.most = (LARGE_SHAPES, MOST_LARGE) if large else (SHAPES, MOST)
        self.values: dict[gx.Tensor, Array] = {}
        self.pool: list[gx.Tensor] = []
        self.inputs: list[gx.Tensor] = []
        self.parameters: list[gx.Parameter] = []

    def run(self, origin: str, size: int) -> FuzzProgram:
        for _ in range(self.chance.randint(1, 4)):
            self.leaf(self.chance.choice(self.shapes), self.dtype, Arg(()))
        growths: tuple[tuple[int, Callable[[], Any]], ...] = (
            (10, self._table), (7, self._binary), (8, self._view), (6, self._reduction), (4, self._terms),
            (3, self._product), (2, self._einsum), (2, self._indexed), (2, self._normalised), (2, self._leaf),
            (2, self._choice), (2, self._gradient), (1, self._tangent), (1, self._checkpointed), (1, self._joined),
            (1, self._looped),
        )  # fmt: skip
        weights, kinds = zip(*growths, strict=True)
        for _ in range(size):
            try:
                made = self.chance.choices(kinds, weights)[0]()
                for tensor in flatten(made):
                    self.keep(tensor)
            except GraphcError:
                continue  # what was drawn does not fit together: another step
        graph, _ = build_graph(self.inputs, self._outputs(), self._updates())
        return FuzzProgram(graph, tuple(self.values[x] for x in self.inputs), origin)

    # The pool ----------------------------------------------------------------------------------------------------
    def keep(self, tensor: Any) -> None:
        """Put a tensor into the pool, tamed where need be; drop what is too large or already known."""
        if not isinstance(tensor, gx.Tensor) or tensor in self.values or tensor.size > self.most or tensor.ndim > 6:
            return
        value = self.value(tensor)
        if tensor.dtype.is_float and not self.wild:
            with np.errstate(all="ignore"):
                largest = float(np.abs(value.astype(np.float64)).max(initial=0))
            if not largest < BOUND:
                if math.isfinite(largest):
                    self.keep(gx.sin(tensor))
                return
        self.values[tensor] = value
        self.pool.append(tensor)

    def value(self, tensor: gx.Tensor) -> Array:
        return evaluate([tensor], self.values, seed=SEED, step=STEP)[0]

    def pick(self, fits: Callable[[gx.Tensor], bool] = lambda x: True) -> gx.Tensor:
        """A tensor that fits, the late ones more often; a new leaf where there is none."""
        pool = [x for x in self.pool if fits(x)]
        if not pool:
            return self.leaf((3, 4), self.dtype, Arg(()))
        return self.chance.choice(pool[-8:] if self.chance.random() < 0.6 else pool)

    def pick_float(self) -> gx.Tensor:
        return self.pick(lambda x: x.dtype.is_float)

    def leaf(self, shape: tuple[int, ...], dtype: str, arg: Arg) -> gx.Tensor:
        """A new input, parameter, constant or number broadcast, with values as an argument of a sample asks for."""
        drawn = random_array(Arg(shape, arg.low, arg.high, arg.dtype, arg.values, arg.distinct), dtype, self.rng)
        array = np.asarray(drawn)
        if arg.values is None and self.chance.random() < (0.8 if self.wild else 0.05):
            array = self._special(array)
        kind = self.chance.random()
        if kind < 0.4:
            tensor = gx.input(f"x{len(self.inputs)}", array.shape, array.dtype)
            self.inputs.append(tensor)
        elif kind < 0.7:
            make = gx.parameter if DTYPES[array.dtype.name].is_float else gx.state
            tensor = make(f"p{len(self.parameters)}", array, dtype=array.dtype)
            self.parameters.append(tensor)
        elif kind < 0.85 or not array.size or arg.values is not None:
            tensor = gx.constant(array, array.dtype)
        else:
            tensor = gx.full(array.shape, array.flat[0].item(), array.dtype)
        if tensor not in self.values:
            self.values[tensor] = array if tensor.op == "input" else self.value(tensor)
            self.pool.append(tensor)
        return tensor

    def _special(self, array: Array) -> Array:
        """Some elements replaced by zeros of both signs, infinities, nan, what lies at the limits."""
        if array.dtype.kind == "b" or not array.size:
            return array
        dtype = DTYPES[array.dtype.name]
        if dtype.is_float:
            line = SPECIALS.get(dtype.name, SPECIALS["float32"])
            line = line if self.wild else line[3:5]
        else:
            limits = np.iinfo(array.dtype)
            line = (limits.min, limits.max, 0, 1)
        with np.errstate(all="ignore"):
            chosen = np.array([self.chance.choice(line) for _ in range(array.size)]).astype(array.dtype)
        return np.where(self.rng.random(array.shape) < 0.4, chosen.reshape(array.shape), array).astype(array.dtype)

    # Steps -------------------------------------------------------------------------------------------------------
    def _leaf(self) -> gx.Tensor:
        dtype = self.chance.choice((self.dtype, self.dtype, "int32", "int64", *DTYPES))
        return self.leaf(self.chance.choice(self.shapes), dtype, Arg(()))

    def _table(self) -> Any:
        """Any function, called as one of its samples calls it."""
        name = self.chance.choice(sorted(FUNCTIONS))
        function = FUNCTIONS[name]
        if _arity(name) and self.chance.random() < 0.8:
            return self._elementwise(function, _arity(name))
        dtype = self.dtype if self.dtype in function.dtypes else self.chance.choice(function.dtypes)
        sample = self.chance.choice(function.samples)
        hides = name.startswith("conv") or "attention" in name  # nothing there times an infinity is nan, or left out
        tame = not self.wild or hides
        args = [self._placed(arg, dtype, tame) for arg in sample.args]
        made = function.build(*args, **{key: self._placed(arg, dtype, tame) for key, arg in sample.keywords.items()})
        return [*flatten(made), *self._slopes(made, args)] if self.chance.random() < 0.3 else made

    def _slopes(self, made: Any, args: list[Any]) -> list[gx.Tensor]:
        """The gradients of what a function made by its float arguments."""
        variables = [x for x in args if isinstance(x, gx.Tensor) and x.dtype.is_float and x.op != "constant"]
        loss = sum((gx.sum(gx.sin(y)) for y in flatten(made) if y.dtype.is_float), start=gx.constant(0.0))
        return list(gx.grad(loss, variables)) if variables else []

    def _placed(self, arg: Any, dtype: str, tame: bool) -> Any:
        if isinstance(arg, (list, tuple)) and any(isinstance(item, (Arg, list)) for item in arg):
            return type(arg)(self._placed(item, dtype, tame) for item in arg)
        if not isinstance(arg, Arg):
            return arg
        if arg.values is not None or (self.chance.random() < 0.25 and not (self.wild and tame)):
            return self.leaf(arg.shape, dtype, arg)
        fitted = resized(typed(self.pick(), DTYPES[arg.dtype or dtype]), arg.shape)
        if not tame and arg.dtype is None:
            return fitted
        if self.wild and fitted.dtype.is_float:
            fitted = gx.where(gx.isfinite(fitted), fitted, 0)
        return ranged(fitted, arg.low, arg.high)

    def _elementwise(self, function: Function, arity: int) -> Any:
        """An elementwise function on tensors of any shapes that broadcast."""
        first = self.pick_float()
        given = [first] + [
            self.pick(lambda x: x.dtype.is_float and meet(x.shape, first.shape)) for _ in range(arity - 1)
        ]
        args = [arg for arg in function.samples[0].args if isinstance(arg, Arg)]
        if not self.wild:
            given = [ranged(x, arg.low, arg.high) for x, arg in zip(given, args, strict=True)]
        return function.build(*given)

    def _binary(self) -> gx.Tensor:
        """Two tensors of any types, or a tensor and a number."""
        x = self.pick()
        y: Any = self.pick(lambda y: meet(x.shape, y.shape))
        if self.chance.random() < 0.3:
            y = self.chance.choice((0, 1, -1, 2, 3, 0.5, -0.0, 0.1, 1.5, -0.5, 4.0))
            y = int(abs(y)) if x.dtype.kind in ("uint", "bool") else y
        if self.chance.random() < 0.3:
            x, y = y, x
        op = self.chance.choice(BINARY[:6] * 3 + BINARY)
        if op in ("divide", "power") and not self.wild:
            y = 1.5 + gx.sin(y) if isinstance(y, gx.Tensor) and y.dtype.is_float else 2
            x = x if op == "divide" else gx.abs(x) + 0.1
        return getattr(gx, op)(x, y)  # type: ignore[no-any-return]

    def _choice(self) -> gx.Tensor:
        """`where` by a comparison, or a comparison."""
        x = self.pick()
        y = self.pick(lambda y: meet(x.shape, y.shape) and (y.dtype.kind == "bool") == (x.dtype.kind == "bool"))
        mask = getattr(gx, self.chance.choice(COMPARISONS))(x, y)
        if self.chance.random() < 0.3:
            return mask  # type: ignore[no-any-return]
        if x.dtype.is_float and self.chance.random() < 0.3:
            line = SPECIALS["float32"] if self.wild else (0.0, -0.0, 1.0, -1.0, 2.5)
            return gx.where(mask, self.chance.choice(line), self.chance.choice(line))
        return gx.where(mask, x, self.chance.choice((y, y, 0, -x if x.dtype.kind not in ("bool", "uint") else x)))

    def _view(self) -> gx.Tensor:
        return viewed(self.chance, self.pick())

    def _joined(self) -> gx.Tensor:
        x = self.pick(lambda x: x.ndim > 0)
        parts = [x] + [self.pick(lambda y: y.type == x.type) for _ in range(self.chance.randint(1, 3))]
        axis = self.chance.randrange(x.ndim)
        if any(part.type != x.type for part in parts):
            parts = [x, x]
        return gx.concatenate(parts, axis) if self.chance.random() < 0.6 else gx.stack(parts, axis)

    def _reduction(self) -> gx.Tensor:
        x, name = self.pick(), self.chance.choice(REDUCTIONS[:4] * 3 + REDUCTIONS)
        axes = tuple(axis for axis in range(x.ndim) if self.chance.random() < 0.5)
        if name in ("argmax", "cumsum") and x.ndim and self.chance.random() < 0.5:
            return self._sorted(x)
        if name in ("argmax", "cumsum"):
            return getattr(gx, name)(x, self.chance.randrange(max(x.ndim, 1)))  # type: ignore[no-any-return]
        if name in ("any", "norm"):
            return gx.any(x, axes) if name == "any" else gx.norm(x, axis=self.chance.choice(axes) if axes else None)
        return getattr(gx, name)(x, axes, keepdims=self.chance.random() < 0.3)  # type: ignore[no-any-return]

    def _sorted(self, x: gx.Tensor) -> gx.Tensor:
        name, axis = self.chance.choice(SORTS), self.chance.randrange(x.ndim)
        if name in ("sort", "argsort"):
            return getattr(gx, name)(x, axis, self.chance.random() < 0.5)  # type: ignore[no-any-return]
        if name == "topk":
            found = gx.topk(x, self.chance.randint(0, x.shape[axis]), axis, self.chance.random() < 0.5)
        else:
            found = getattr(gx, name)(x, axis)
        return self.chance.choice(found)  # type: ignore[no-any-return]

    def _terms(self) -> gx.Tensor:
        """A sum of terms of one shape: paddings, products, sums, leaves, numbers."""
        shape = self.pick_float().shape
        total: Any = 0
        for _ in range(self.chance.randint(2, 4)):
            term = self.chance.choice((self._pad_term, self._product_term, self._sum_term, self._leaf_term))(shape)
            sign, scale = self.chance.choice((1, 1, -1)), self.chance.choice((1, 1, 1, 0.5, 2))
            term = term if scale == 1 else term * scale
            total = total + term if sign > 0 else total - term
        return total  # type: ignore[no-any-return]

    def _pad_term(self, shape: tuple[int, ...]) -> gx.Tensor:
        x = self.pick_float()
        low = [self.chance.randint(0, n) for n in shape]
        sizes = [self.chance.randint(0, n - a) for n, a in zip(shape, low, strict=True)]
        part = resized(x, tuple(sizes))
        return gx.pad(part, [(a, n - a - m) for n, a, m in zip(shape, low, sizes, strict=True)]) if shape else part

    def _product_term(self, shape: tuple[int, ...]) -> gx.Tensor:
        if len(shape) < 1:
            return self._sum_term(shape)
        *rows, columns = shape
        depth = self.chance.choice((1, 3, 4))
        return resized(self.pick_float(), (*rows, depth)) @ resized(self.pick_float(), (depth, columns))

    def _sum_term(self, shape: tuple[int, ...]) -> gx.Tensor:
        x = self.pick_float()
        return gx.sum(resized(x, (self.chance.choice((2, 3)), *shape)), 0)

    def _leaf_term(self, shape: tuple[int, ...]) -> gx.Tensor:
        return self.leaf(shape, self.dtype, Arg(()))

    def _product(self) -> gx.Tensor:
        """A product of two tensors, views of one as well."""
        x = self.pick_float()
        x = x if x.ndim > 1 else reshape_to(x, (1, x.size))
        kind, depth = self.chance.random(), x.shape[-1]
        if kind < 0.3:
            return x @ gx.swapaxes(x, -1, -2)
        if kind < 0.4 and x.ndim == 2:
            return gx.flip(x, 0) @ slice_view(x, (x.shape[0] - 1, 0) if x.shape[0] else (0, 0), x.shape, (-1, 1)).T
        w = self.pick(lambda y: y.dtype.is_float and y.ndim == 2 and depth in y.shape)
        w = w if w.ndim > 1 and w.shape[-2] == depth else gx.swapaxes(w, -1, -2)
        w = w if w.shape[-2] == depth else resized(w, (depth, 2))
        product = x @ w
        return gx.tanh(product + self.leaf((product.shape[-1],), self.dtype, Arg(()))) if kind > 0.8 else product

    def _einsum(self) -> gx.Tensor:
        formula = self.chance.choice(EINSUMS)
        extents = {letter: self.chance.randint(1, 5) for letter in formula if letter.isalpha()}
        shapes = [tuple(extents[letter] for letter in part) for part in formula.split("->")[0].split(",")]
        given = [resized(typed(self.pick_float(), DTYPES[self.dtype]), shape) for shape in shapes]
        return gx.einsum(formula, *given)

    def _indexed(self) -> gx.Tensor:
        """Reads and writes at computed places, some of them out of range."""
        x = self.pick(lambda x: x.ndim > 0 and x.size > 0)
        axis = self.chance.randrange(x.ndim)
        index = typed(self.pick(lambda i: 0 < i.size < 50), DTYPES[self.chance.choice(("int32", "int64"))])
        if self.chance.random() < 0.8:
            index = gx.remainder(index, x.shape[axis])
        kind = self.chance.random()
        if kind < 0.5:
            return gx.take(x, index, axis)
        flat = reshape_to(index, (index.size,))
        updates = resized(x, (*x.shape[:axis], flat.size, *x.shape[axis + 1 :]))
        return gx.scatter_add(x, flat, updates, axis)

    def _normalised(self) -> gx.Tensor:
        x = self.pick_float()
        if not x.ndim or not x.size:
            return gx.tanh(x)
        axis = self.chance.randrange(x.ndim)
        d = x - gx.mean(x, axis, keepdims=True)
        choices: tuple[Callable[[], gx.Tensor], ...] = (
            lambda: d / gx.sqrt(gx.var(x, axis, keepdims=True) + 1e-5), lambda: gx.softmax(x, axis),
            lambda: d / gx.sqrt(gx.mean(d * d, axis, keepdims=True) + 0.1), lambda: gx.log_softmax(x, axis),
            lambda: gx.exp(x - gx.max(x, axis, keepdims=True)), lambda: x / (gx.norm(x, axis=axis, keepdims=True) + 1),
        )  # fmt: skip
        return self.chance.choice(choices)()

    def _loss(self) -> gx.Tensor:
        """A weighted sum of one to three tensors."""
        total: Any = 0
        for _ in range(self.chance.randint(1, 3)):
            x = self.pick_float()
            weights = self.rng.choice((-1.0, 0.5, 1.0), x.shape).astype(x.dtype.numpy)
            total = total + gx.sum(x * weights if self.chance.random() < 0.7 else gx.sin(x))
        return total  # type: ignore[no-any-return]

    def _variables(self) -> list[gx.Tensor]:
        floats = [x for x in self.pool if x.dtype.is_float]
        return self.chance.sample(floats, min(len(floats), self.chance.randint(1, 3)))

    def _gradient(self) -> list[gx.Tensor]:
        """First gradients, and second ones of a weighted sum of these."""
        loss, variables = self._loss(), self._variables()
        first = list(gx.grad(loss, variables))
        if self.chance.random() < 0.5:
            return first
        weights = [self.rng.choice((-1.0, 1.0), g.shape).astype(g.dtype.numpy) for g in first]
        total: Any = sum(
            (gx.sum(g * w) for g, w in zip(first, weights, strict=True)), start=gx.constant(0.0, "float32")
        )
        return [*first, *gx.grad(total, variables)]

    def _tangent(self) -> list[gx.Tensor]:
        variables = self._variables()
        directions = [self.rng.normal(size=x.shape).astype(x.dtype.numpy) for x in variables]
        return list(gx.jvp([self.pick_float(), self._loss()], variables, directions))

    def _looped(self) -> Any:
        """A loop whose body combines what it carries, slices, and tensors from around it."""
        x = self.pick(lambda x: x.dtype.is_float and x.size < self.most // 8)
        alike = [y for y in self.pool if y.type == x.type]
        count = self.chance.randint(1, 4)
        taken = [gx.stack([self.chance.choice(alike) for _ in range(count)]) for _ in range(self.chance.randint(0, 2))]

        def step(carries: list[gx.Tensor], slices: list[gx.Tensor]) -> Any:
            made = [*carries, *slices, self.chance.choice(alike)]
            for _ in range(self.chance.randint(1, 5)):
                function = FUNCTIONS[self.chance.choice(("add", "subtract", "multiply", "maximum", "minimum"))]
                made.append(gx.sin(function.build(made[-1], self.chance.choice(made))))
            return [self.chance.choice(made) for _ in carries], self.chance.sample(made, self.chance.randint(0, 2))

        starts = [self.chance.choice(alike) for _ in range(self.chance.randint(1, 3))]
        carries, outputs = loop(step, count, starts, taken, reverse=self.chance.random() < 0.5)
        return [*carries, *outputs]

    def _checkpointed(self) -> list[gx.Tensor]:
        """A region with a random mask in it, and its gradient."""
        x = self.pick_float()

        def region(a: gx.Tensor) -> gx.Tensor:
            kept = gx.where(gx.uniform(a.shape) < 0.7, gx.tanh(a), 0)
            return kept * gx.cos(a) + gx.sum(kept)

        y = gx.checkpoint(region)(x)
        return [y, *gx.grad(gx.sum(y * y), [x])]

    # Results -----------------------------------------------------------------------------------------------------
    def _outputs(self) -> list[gx.Tensor]:
        late = self.pool[-12:]
        results = [self.chance.choice(late) for _ in range(self.chance.randint(1, 6))]
        awkward: tuple[Callable[[], gx.Tensor], ...] = (
            lambda: self.chance.choice(self.inputs or self.pool),
            lambda: self.chance.choice(self.parameters or self.pool),
            lambda: results[0], lambda: viewed(self.chance, results[0]), lambda: viewed(self.chance, results[-1]),
            lambda: gx.stop_gradient(results[0]), lambda: self.chance.choice(self.pool),
        )  # fmt: skip
        for _ in range(self.chance.choice((0, 0, 1, 2, 3))):
            results.append(self.chance.choice(awkward)())
        self.chance.shuffle(results)
        return results

    def _updates(self) -> dict[gx.Parameter, gx.Tensor]:
        """Values of the right type: other parameters (swaps), themselves, steps of gradients, or anything."""
        found: dict[gx.Parameter, gx.Tensor] = {}
        for p in self.parameters:
            if self.chance.random() < 0.5:
                continue
            fitting = [x for x in self.pool if x.type == p.type]
            twins = [q for q in self.parameters if q.type == p.type]
            choices = [self.chance.choice(fitting), self.chance.choice(twins)]
            choices += [resized(typed(viewed(self.chance, p), p.dtype), p.shape)]
            if p.dtype.is_float:
                choices += [p + self.chance.choice(fitting), p * 0.5 + gx.tanh(choices[0])]
                choices += [p - 0.1 * g for g in gx.grad(self._loss(), [p])]
            found[p] = self.chance.choice(choices)
        return found
