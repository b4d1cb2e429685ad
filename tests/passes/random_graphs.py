"""Random graphs for passes: any op, dtype and shape, over leaves of every kind, with results that are awkward.

Inputs, parameters and constants are drawn all the way, so that each may stand anywhere; results are any nodes, leaves
and doubles among them; parameters are updated by nodes, other parameters, inputs and constants. `random_graph(seed)`
depends on its seed alone. An *exact* graph has no op that a pass may round in another way; it may hold any numbers. In
others values stay of order one however deep the graph.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from graphc.ir.graph import Graph
from graphc.ir.types import DTYPES, DType
from graphc.ops.build import apply, apply_parameter, broadcast_to, cast, constant, full
from graphc.ops.primitives.views import join, narrow, pad_view, permute, reshape_to, scalar_of, slice_view
from graphc.ops.tensor import Tensor

from .support import special_numbers

__all__ = ["random_graph"]

SHAPES = ((2, 3), (3,), (), (2, 3), (1, 3), (3, 2), (2, 3, 1), (4, 3), (6,), (0, 3))
LARGEST = 300  # elements of a node
EXACT_UNARY = ("negative", "abs", "sign", "relu", "floor", "ceil", "round", "trunc", "sqrt", "stop_gradient")
EXACT_BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "where", "less", "equal")
INTEGER_UNARY = ("negative", "abs", "sign", "bitwise_invert", "stop_gradient")
INTEGER_BINARY = (
    "add", "subtract", "multiply", "maximum", "minimum", "where", "less", "equal", "bitwise_xor", "floor_divide",
    "remainder", "power",
)  # fmt: skip
BOOL_UNARY = ("logical_not", "stop_gradient")
BOOL_BINARY = ("add", "multiply", "maximum", "minimum", "where", "logical_and", "logical_xor", "equal")
ROUNDED_UNARY = ("negative", "abs", "exp", "sigmoid", "softplus", "relu", "tanh", "log1p", "sqrt", "sign", "sin", "log")
ROUNDED_BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "divide", "where", "power")


def random_graph(seed: int, size: int = 40, dtype: str = "float32", *, exact: bool = False) -> Graph:
    """A graph grown in `size` steps, mostly of `dtype`."""
    grower = _Grower(random.Random(seed), DTYPES[dtype], exact or not DTYPES[dtype].is_float)
    return grower.run(size)


@dataclass
class _Grower:
    chance: random.Random
    dtype: DType
    exact: bool
    nodes: list[Tensor] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    parameters: list[Tensor] = field(default_factory=list)

    def run(self, size: int) -> Graph:
        for shape in SHAPES[:3]:
            self._leaf(shape)
        growths = (
            (3, self._any_leaf), (6, self._unary), (10, self._binary), (9, self._view), (3, self._reduction),
            (1, self._matmul), (1, self._cast), (2, self._broadcast_operand),
        )  # fmt: skip
        weights, kinds = zip(*growths, strict=True)
        while size > 0:
            node = self.chance.choices(kinds, weights)[0]()
            if node is not None and node.size <= LARGEST:
                self.nodes.append(node)
            size -= 1
        outputs, updates = tuple(self._outputs()), tuple(self._updates())  # which may bring in new inputs
        return Graph(tuple(self.inputs), outputs, updates)

    # Leaves ----------------------------------------------------------------------------------------------------------
    def _pick(self, dtype: DType | None = None) -> Tensor:
        """A late node more often than an early one."""
        found = [node for node in self.nodes if dtype is None or node.dtype is dtype] or [self._leaf((2, 3), dtype)]
        return found[max(self.chance.randrange(len(found)), self.chance.randrange(len(found)))]

    def _like(self, x: Tensor) -> Tensor:
        """A node of the type of `x`, often a new leaf."""
        found = [node for node in self.nodes if node.type == x.type]
        if self.chance.random() < 0.3 or not found:
            return self._leaf(x.shape, x.dtype)
        return self.chance.choice(found)

    def _any_leaf(self) -> Tensor:
        return self._leaf(self.chance.choice(SHAPES))

    def _leaf(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        dtype = dtype or self.dtype
        kind = self.chance.choice(("input", "parameter", "constant", "full", "full"))
        if kind == "input":
            name = f"x{len(self.inputs)}"
            self.inputs.append(apply("input", name=name, shape=shape, dtype=dtype))
            leaf = self.inputs[-1]
        elif kind == "parameter":
            leaf = apply_parameter(f"p{len(self.parameters)}", self._numbers(shape, dtype), trainable=True)
            self.parameters.append(leaf)
        elif kind == "constant":
            leaf = constant(self._numbers(shape, dtype))
        else:
            leaf = full(shape, self._numbers((), dtype).item(), dtype)
        self.nodes.append(leaf)
        return leaf

    def _numbers(self, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
        plain = [0, 1, 2, 3] if not dtype.is_float else [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -0.25, 3.0, 4.0]
        pool = special_numbers(dtype) if self.exact and self.chance.random() < 0.4 else np.array(plain, dtype.numpy)
        count = int(np.prod(shape, dtype=int))
        picks = [self.chance.randrange(len(pool)) for _ in range(count)]
        return pool[picks].reshape(shape) if count else np.zeros(shape, dtype.numpy)

    # Elementwise -----------------------------------------------------------------------------------------------------
    def _unary(self) -> Tensor:
        x = self._pick()
        if x.dtype.kind == "bool":
            return apply(self.chance.choice(BOOL_UNARY), x)
        if x.dtype.is_integer:
            op = self.chance.choice(INTEGER_UNARY)
            return x if x.dtype.kind == "uint" and op in ("negative", "abs", "sign") else apply(op, x)
        if self.exact:
            return apply(self.chance.choice(EXACT_UNARY), x)
        op, bounded = self.chance.choice(ROUNDED_UNARY), apply("sin", x)
        if op in ("log1p", "sqrt"):
            bounded = apply("abs", bounded)
        return apply(op, bounded if op != "log" else apply("exp", bounded))

    def _binary(self) -> Tensor:
        x = self._pick()
        y = x if self.chance.random() < 0.1 else self._like(x)
        x, y = (x, y) if self.chance.random() < 0.5 else (y, x)
        ops = BOOL_BINARY if x.dtype.kind == "bool" else INTEGER_BINARY if x.dtype.is_integer else EXACT_BINARY
        op = self.chance.choice(ops if self.exact or not x.dtype.is_float else ROUNDED_BINARY)
        if op == "where":
            condition = self._like(apply("equal", x, x)) if self.exact else apply("less", x, y)
            return apply("where", condition, x, y)
        if op == "power" and x.dtype.is_integer:
            return apply("power", x, full(x.shape, self.chance.randrange(5), x.dtype))
        if self.exact or not x.dtype.is_float:
            return apply(op, x, y)
        return self._rounded(op, x, y)

    def _rounded(self, op: str, x: Tensor, y: Tensor) -> Tensor:
        """A float op whose result is of order one where its arguments are, and which has no jumps."""
        if op == "divide":
            return apply("divide", x, apply("exp", apply("sin", y)) + 1.0)
        if op == "power":
            base = apply("exp", apply("sin", x))
            return apply("power", base, full(x.shape, self.chance.choice((-2, -1, -0.5, 0.5, 1.5, 2, 3, 4)), x.dtype))
        return apply("sin", apply(op, x, y)) if op in ("multiply", "add", "subtract") else apply(op, x, y)

    def _broadcast_operand(self) -> Tensor | None:
        """An op of two broadcasts, or of one with something else."""
        x = self._pick()
        if x.ndim == 0 or x.dtype.kind == "bool":
            return None
        row = self._leaf(x.shape[-1:], x.dtype) if self.chance.random() < 0.5 else narrow(x, 0, 0, min(1, x.shape[0]))
        if self.chance.random() < 0.3 and x.dtype.kind != "uint":
            row = apply("negative", row)
        if row.shape[0] not in (1, x.shape[0]) and row.ndim == x.ndim:
            return None
        op = self.chance.choice(("add", "subtract", "multiply"))
        result = apply(op, x, broadcast_to(row, x.shape))
        return result if self.exact or not x.dtype.is_float else apply("sin", result)

    def _cast(self) -> Tensor:
        x = self._pick()
        chain = [self.chance.choice(list(DTYPES.values())) for _ in range(self.chance.randint(1, 2))]
        if not self.exact:
            chain = [self.chance.choice((DTYPES["float64"], x.dtype))]
        for dtype in (*chain, x.dtype if self.chance.random() < 0.8 else chain[-1]):
            whole = not dtype.is_float and x.dtype.is_float  # NaN and what is out of range have no integer
            x = cast(
                apply("sign", apply("where", apply("isnan", x), full(x.shape, 0, x.dtype), x)) if whole else x, dtype
            )
        return x

    # Others ----------------------------------------------------------------------------------------------------------
    def _view(self) -> Tensor:
        x = self._pick()
        choices: list[Callable[[Tensor], Tensor]] = [self._reshaped, self._permuted, self._spread]
        if x.ndim and x.size:
            choices += [self._sliced, self._sliced, self._padded, self._padded, self._joined, self._joined]
        return self.chance.choice(choices)(x)

    def _reshaped(self, x: Tensor) -> Tensor:
        return reshape_to(x, self.chance.choice([(x.size,), (1, x.size), (x.size, 1), (*x.shape, 1)]))

    def _permuted(self, x: Tensor) -> Tensor:
        return permute(x, self.chance.sample(range(x.ndim), x.ndim))

    def _spread(self, x: Tensor) -> Tensor:
        return broadcast_to(x, (self.chance.choice((1, 2)), *x.shape))

    def _padded(self, x: Tensor) -> Tensor:
        low, high = ([self.chance.choice((0, 0, 1, 3)) for _ in x.shape] for _ in range(2))
        value = self._numbers((), x.dtype).item() if self.chance.random() < 0.4 else 0
        return pad_view(x, low, high, scalar_of(x.dtype, value))

    def _joined(self, x: Tensor) -> Tensor:
        axis = self.chance.randrange(x.ndim)
        parts = [
            self.chance.choice((x, self._like(x), narrow(x, axis, 0, 1))) for _ in range(self.chance.randint(2, 3))
        ]
        return join(parts, axis)

    def _sliced(self, x: Tensor) -> Tensor:
        axis = self.chance.randrange(x.ndim)
        if self.chance.random() < 0.4:
            starts = [size - 1 if a == axis else 0 for a, size in enumerate(x.shape)]
            return slice_view(x, starts, x.shape, [-1 if a == axis else 1 for a in range(x.ndim)])
        start = self.chance.randrange(x.shape[axis])
        return narrow(x, axis, start, self.chance.randrange(1, x.shape[axis] - start + 1))

    def _reduction(self) -> Tensor | None:
        x = self._pick()
        axes = tuple(axis for axis in range(x.ndim) if self.chance.random() < 0.4)
        sums = x.dtype.is_integer or (x.dtype.is_float and not self.exact)
        op = self.chance.choice(("sum", "max", "min") if sums else ("max", "min"))
        if not x.size and op != "sum":
            return None
        result = apply(op, x, axes=axes)
        return apply("sin", result) if op == "sum" and x.dtype.is_float else result

    def _matmul(self) -> Tensor | None:
        """A sum of products, and of what else has its shape."""
        if (self.exact and self.dtype.is_float) or self.dtype.kind == "bool":
            return None
        terms = [apply("matmul", self._leaf((4, n)), self._leaf((n, 3))) for n in (2, self.chance.choice((2, 5)))]
        terms += [pad_view(self._leaf((2, 3)), (at, 0), (2 - at, 0)) for at in (0, 2)]
        terms += [apply("sum", self._leaf((2, 4, 3)), axes=(0,)), self._leaf((4, 3)), self._leaf((4, 3))]
        terms = self.chance.sample(terms, self.chance.randint(2, 6))
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total if not total.dtype.is_float else apply("sin", total)

    # Results ---------------------------------------------------------------------------------------------------------
    def _outputs(self) -> list[Tensor]:
        outputs = [self._pick() for _ in range(self.chance.randint(2, 5))]
        leaves = [node for node in self.nodes if not node.inputs]
        return [*outputs, self.chance.choice((self.chance.choice(leaves), outputs[0], self._pick()))]

    def _updates(self) -> list[tuple[Tensor, Tensor]]:
        return [(p, self._like(p)) for p in list(self.parameters) if self.chance.random() < 0.7]
