"""The records from which everything else is derived: `Op`, what a node can be; `Function`, what a user can call.

An `Op` is a primitive: it has a shape and dtype rule, gradient rules both ways and a NumPy reference. A `Function`
builds nodes from tensors, arrays and scalars: a primitive with its arguments put in order, or a composition that
the compiler fuses back together. A function carries samples and a NumPy formula, from which the tests derive their
cases. Both are declared once; a missing field fails at import. `OPS` and `FUNCTIONS` are the tables.

Rules of differentiation, all of which build nodes and so can be differentiated again:

* `vjp`: one rule for each input, `rule(g, y, *inputs, **attrs) -> Tensor`, the cotangent of that input given the
  cotangent `g` of the output `y`. Only rules that are needed are called. `ZERO` is a gradient that is zero
  everywhere (floor); `NO_GRADIENT` an input, or a whole op, that has none (an index). An op of any number of inputs
  has a `Joint` rule: one for each, which all take all inputs, would need n * n steps for n of them; and so has one of
  several results. The rules of an op with a body are `OF_ITS_BODY`: transforms/bodies.py derives them.
* `jvp`: `POINTWISE` (an elementwise Jacobian is diagonal, so its vjp rules serve), `LINEAR` (linear in all float
  inputs together: the op itself, zeros for missing tangents), `MULTILINEAR` (linear in each float input apart), or
  `rule(tangents, y, *inputs, **attrs) -> Tensor` with None for a zero tangent; of several results, as many of both.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from graphc.errors import InternalError
from graphc.ir.node import Type
from graphc.ir.public import public
from graphc.ir.types import DTYPES
from graphc.scalar.ops import SCALARS

__all__ = [
    "ALL", "BOOL", "FLOAT", "FUNCTIONS", "INTEGER", "NO_GRADIENT", "NUMERIC", "OF_ITS_BODY", "OPS", "SIGNED",
    "WIDE_FLOAT", "ZERO", "Arg", "Function", "Joint", "Jvp", "Kind", "Op", "Sample", "View", "call", "function",
    "op_of", "primitive", "view_of",
]  # fmt: skip

Array = np.ndarray[Any, Any]
Rule = Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])

WIDE_FLOAT = ("float64", "float32")
FLOAT = ("float64", "float32", "bfloat16", "float16")
INTEGER = ("int64", "int32", "int8", "uint32", "uint8")
SIGNED = (*FLOAT, "int64", "int32", "int8")
NUMERIC = (*FLOAT, *INTEGER)
BOOL = ("bool",)
ALL = tuple(DTYPES)


class Kind(enum.StrEnum):
    """How an op relates its output elements to its input elements; what fusion and lowering go by."""

    SOURCE = "source"  # no tensor inputs, and storage that outlives the step: input, parameter, constant
    GENERATED = "generated"  # no tensor inputs: output[i] is computed from i wherever it is wanted, as in iota
    ELEMENTWISE = "elementwise"  # output[i] depends on inputs[i]; all shapes equal
    VIEW = "view"  # output elements are input elements (or a fill value) at affine indices
    REDUCTION = "reduction"  # combines along attrs["axes"], which leave the shape
    CONTRACTION = "contraction"  # matmul and convolutions: a library kernel that may carry an epilogue
    LIBRARY = "library"  # any other op with a kernel of its own
    LOOP = "loop"  # runs its body several times, in launches of its own
    PART = "part"  # one of the results of a node that has several
    MARK = "mark"  # passes its first input through and tells a pass something

    @property
    def is_launched(self) -> bool:
        """Whether such an op has launches of its own, which read and write buffers."""
        return self in (Kind.CONTRACTION, Kind.LIBRARY, Kind.LOOP)


class View(enum.Enum):
    """Where the elements of a view come from: what fusion follows accesses by."""

    SAME = "same"  # output[i] is input[i]
    BROADCAST = "broadcast"  # axes of extent 1, and those that the input lacks, are at 0
    PERMUTED = "permuted"  # the input's axes are attrs["axes"] of the output's
    SLICED = "sliced"  # attrs["start"] + attrs["step"] * i
    RESHAPED = "reshaped"  # the same elements in row-major order
    PADDED = "padded"  # an element of the input, or attrs["value"] outside of it
    JOINED = "joined"  # an element of the input that attrs["axis"] runs through at that place


class _Sentinel(enum.Enum):
    ZERO = "zero"
    NO_GRADIENT = "no gradient"
    OF_ITS_BODY = "of its body"


ZERO = _Sentinel.ZERO
NO_GRADIENT = _Sentinel.NO_GRADIENT
OF_ITS_BODY = _Sentinel.OF_ITS_BODY


class Jvp(enum.Enum):
    """The ready-made forward-mode rules (see the module's docstring)."""

    POINTWISE = "pointwise"
    LINEAR = "linear"
    MULTILINEAR = "multilinear"


@dataclass(frozen=True)
class Joint:
    """A vjp rule that answers with the cotangents of all inputs at once, None for those that have none.

    The rule of an op of several results gets a tuple of cotangents, None where there is none, and a tuple of results.
    """

    rule: Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class Op:
    """A primitive operation.

    `infer(*types, **attrs)` gives the output type or raises ShapeError or DTypeError. `vjp` is a tuple with an
    entry for each input, or where the last may be missing a function from the input's position to its entry, or a
    joint rule, or NO_GRADIENT. `reference(*arrays, **attrs)` evaluates with NumPy; 16-bit floats reach it as
    float32, and its result is cast to the inferred dtype. `cost` is the scalar work of one output element in additions.
    `strided_operands`: the inputs that the library kernel reads through any strides, so that views need no copy.
    `strided_result`: whether the library kernel writes rows and matrices of its result as far apart as it is told.
    `epilogue_inner`: how many trailing axes of the output are the inner dims of an epilogue; 0 means it takes none.
    `view`: where a view's elements come from; only views have it.
    """

    name: str
    kind: Kind
    infer: Callable[..., Type]
    vjp: tuple[Rule | _Sentinel, ...] | Callable[[int], Rule | _Sentinel] | Joint | _Sentinel
    jvp: Jvp | Rule | _Sentinel
    reference: Callable[..., Any]
    cost: int = 1
    strided_operands: Container[int] = ()
    strided_result: bool = False
    epilogue_inner: int = 0
    view: View | None = None

    def vjp_rule(self, position: int) -> Rule | _Sentinel:
        """The entry for the input at `position`, where each has one."""
        assert not isinstance(self.vjp, Joint), f"{self.name} has one rule for all inputs"
        if isinstance(self.vjp, _Sentinel):
            return self.vjp
        return self.vjp[position] if isinstance(self.vjp, tuple) else self.vjp(position)

    def is_flat(self, position: int) -> bool:
        """Whether the gradient of the input at `position` is zero everywhere."""
        return not isinstance(self.vjp, Joint) and self.vjp_rule(position) is ZERO


@dataclass(frozen=True)
class Arg:
    """A random array argument of a sample: uniform in [low, high).

    `dtype` fixes the dtype (indices, masks); None takes the dtype of the case. `values` gives the elements.
    `distinct` spreads the values so that no two lie within 0.05 (no ties under max, no kinks inside a finite
    difference step). `away_from` keeps a distance of 0.1 from those points. `grad=False` leaves it out of gradients.
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    dtype: str | None = None
    values: tuple[Any, ...] | None = None
    distinct: bool = False
    away_from: tuple[float, ...] = ()
    grad: bool = True


@dataclass(frozen=True)
class Sample:
    """One call of a function: `args` holds an `Arg` for each array, anything else (and lists of Args) as is.

    `second=False` leaves out second derivatives, with the reason in `why`.
    """

    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    grad: bool = True
    second: bool = True
    why: str = ""

    @property
    def keywords(self) -> dict[str, Any]:
        return dict(self.kwargs)


@dataclass(frozen=True)
class Function:
    """What a user can call: `build` makes the nodes.

    `formula(*arrays, **kwargs)` is the same thing in NumPy or SciPy, written independently of the primitives where
    there is more than one; it gets and returns arrays of the case's dtype (16-bit floats as float32). `dtypes` are
    the dtypes that the samples run in. `differentiable` is False where no input has a gradient. `convention` says
    what the gradient is at kinks and ties. `errors` are bad calls: (error class, args, kwargs).
    """

    name: str
    build: Callable[..., Any]
    formula: Callable[..., Any]
    samples: tuple[Sample, ...]
    dtypes: tuple[str, ...]
    differentiable: bool
    convention: str = ""
    errors: tuple[tuple[type[Exception], tuple[Any, ...], dict[str, Any]], ...] = ()


OPS: dict[str, Op] = {}
FUNCTIONS: dict[str, Function] = {}


def primitive(
    name: str,
    *,
    kind: Kind,
    infer: Callable[..., Type],
    vjp: tuple[Rule | _Sentinel, ...] | Callable[[int], Rule | _Sentinel] | Joint | _Sentinel,
    jvp: Jvp | Rule | _Sentinel,
    reference: Callable[..., Any],
    cost: int | None = None,
    strided_operands: Container[int] = (),
    strided_result: bool = False,
    epilogue_inner: int = 0,
    view: View | None = None,
) -> Op:
    """Declare a primitive and put it into `OPS`. Without a cost, an elementwise one has that of its scalar op."""
    if name in OPS:
        raise InternalError(f"op {name} is declared twice")
    if kind is Kind.ELEMENTWISE and (cost is None) != (name in SCALARS):
        raise InternalError(f"op {name} is elementwise: it has either a record in scalar/ops.py or a cost of its own")
    if (kind is Kind.VIEW) != (view is not None):
        raise InternalError(f"op {name} says where its elements come from if, and only if, it is a view")
    if cost is None:
        cost = SCALARS[name].cost if kind is Kind.ELEMENTWISE else 1
    OPS[name] = Op(
        name, kind, infer, vjp, jvp, reference, cost, strided_operands, strided_result, epilogue_inner, view
    )  # fmt: skip
    return OPS[name]


def function(
    *,
    formula: Callable[..., Any],
    samples: Sequence[Sample],
    dtypes: tuple[str, ...],
    differentiable: bool = True,
    convention: str = "",
    errors: Sequence[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]] = (),
    name: str | None = None,
) -> Callable[[F], F]:
    """Declare the decorated builder as a function that users call (see `public`) and put it into `FUNCTIONS`."""

    def declare(definition: F) -> F:
        key, build = name or definition.__name__, public(definition)
        if key in FUNCTIONS:
            raise InternalError(f"function {key} is declared twice")
        FUNCTIONS[key] = Function(
            key, build, formula, tuple(samples), dtypes, differentiable, convention, tuple(errors)
        )
        return build

    return declare


def op_of(node: Any) -> Op:
    """The record of a node's op. Raises InternalError for an op that nobody declared."""
    try:
        return OPS[node.op]
    except KeyError:
        raise InternalError(f"no op is called {node.op!r}") from None


def view_of(node: Any) -> View | None:
    """Where the elements of `node` come from, if it is a view."""
    return op_of(node).view


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    """Build by a function's name: what operators and methods of `Tensor` stand for."""
    return FUNCTIONS[name].build(*args, **kwargs)
