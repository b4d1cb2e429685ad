"""How elementwise primitives are declared: all the facts of one in one paragraph.

`unary` and `binary` declare the primitive and the function of the same name together and return the function, with
its docstring put together from the paragraph. A primitive takes equal shapes and one dtype out of `accepts`; the
function promotes, casts and broadcasts first. `samples` spreads templates over the shapes that matter: 0-d, empty,
size 1, six axes, and pairs that broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.build import apply, as_float, as_tensor, cast, operands
from graphc.ops.record import FLOAT, Arg, Jvp, Kind, Rule, Sample, _Sentinel, function, primitive
from graphc.ops.tensor import Tensor

__all__ = [
    "PAIRS", "SHAPES", "TEXT", "TRIPLES", "UNBROADCAST", "Errors", "binary", "elementwise_rule", "float_operands",
    "floats", "given", "over", "samples", "unary",
]  # fmt: skip

Errors = Sequence[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]]
Shapes = tuple[tuple[int, ...], ...]

TEXT: Errors = [(DTypeError, ("text",), {})]
UNBROADCAST: Errors = [(ShapeError, (Arg((2, 3)), Arg((4,))), {})]

SHAPES: tuple[Shapes, ...] = (
    ((),), ((3,),), ((2, 3),), ((1, 4),), ((0,),), ((2, 0, 3),), ((2, 1, 2, 1, 2, 3),),
)  # fmt: skip
PAIRS: tuple[Shapes, ...] = (
    ((), ()), ((3,), (3,)), ((2, 3), (3,)), ((), (2, 2)), ((2, 1), (1, 4)), ((0, 3), (1, 3)), ((1,), (4,)),
    ((2, 1, 2, 1, 2, 3), (2, 1, 1, 3)),
)  # fmt: skip
TRIPLES: tuple[Shapes, ...] = (
    ((), (), ()), ((3,), (3,), (3,)), ((2, 3), (3,), ()), ((2, 1), (1, 4), (4,)), ((0,), (1,), (0,)),
    ((2, 1, 2, 1, 2, 3), (3,), (1, 2, 1)),
)  # fmt: skip
_SETS = {1: SHAPES, 2: PAIRS, 3: TRIPLES}


def over(low: float = -2.0, high: float = 2.0, *away_from: float, dtype: str | None = None) -> Arg:
    """A template for `samples`: elements in [low, high), at least 0.1 from each point of `away_from`."""
    return Arg((), low, high, away_from=away_from, dtype=dtype)


def given(*values: float) -> Arg:
    """An argument with these elements."""
    return Arg((len(values),), values=values)


def samples(*templates: Arg, shapes: Sequence[Shapes] | None = None, **kwargs: Any) -> list[Sample]:
    """A sample for each tuple of shapes (by default the set for this many templates), with `kwargs` for all."""
    chosen = _SETS[len(templates)] if shapes is None else shapes
    keywords = tuple(kwargs.items())
    return [
        Sample(tuple(replace(t, shape=shape) for t, shape in zip(templates, row, strict=True)), keywords)
        for row in chosen
    ]


def floats(formula: Callable[..., Any]) -> Callable[..., Any]:
    """`formula` on integer and bool arrays as float64 (NumPy alone would answer int8 with float16)."""

    def converted(*arrays: Any, **kwargs: Any) -> Any:
        return formula(*(_as_float64(array) for array in arrays), **kwargs)

    return converted


def _as_float64(array: Any) -> Any:
    return array.astype(np.float64) if isinstance(array, np.ndarray) and array.dtype.kind in "iub" else array


def elementwise_rule(name: str, accepts: tuple[str, ...], result: str | None = None) -> Callable[..., TensorType]:
    """The `infer` of an elementwise op: equal types, one of `accepts`; the result keeps the dtype or is `result`."""

    def infer(first: TensorType, *others: TensorType) -> TensorType:
        for other in others:
            if other.shape != first.shape:
                raise ShapeError(f"{name} combines equal shapes, got {first} and {other}")
            if other.dtype is not first.dtype:
                raise DTypeError(f"{name} combines equal dtypes, got {first} and {other}")
        if first.dtype.name not in accepts:
            raise DTypeError(
                f"{name} does not take {first.dtype}; it takes {', '.join(accepts)}. Cast with astype first"
            )
        return first if result is None else first.with_dtype(DTYPES[result])

    return infer


def unary(
    name: str,
    summary: str,
    *,
    derivative: str,
    vjp: Rule | _Sentinel,
    reference: Callable[..., Any],
    example: str,
    accepts: tuple[str, ...] = FLOAT,
    result: str | None = None,
    dtypes: tuple[str, ...] | None = None,
    template: Arg | None = None,
    formula: Callable[..., Any] | None = None,
    coerce: Callable[[Any], Tensor] | None = None,
    others: Callable[[Tensor], Tensor] | None = None,
    more: Sequence[Sample] = (),
    convention: str = "",
    errors: Errors = (),
) -> Callable[[Any], Tensor]:
    """Declare a primitive of one input and its function. `derivative` and `example` go into the docstring.

    `others` makes the function's answer for integers and bools, where they need no primitive of floats.
    """
    primitive(
        name, kind=Kind.ELEMENTWISE, infer=elementwise_rule(name, accepts, result), reference=reference,
        vjp=vjp if vjp is _Sentinel.NO_GRADIENT else (vjp,),
        jvp=vjp if vjp is _Sentinel.NO_GRADIENT else Jvp.POINTWISE,
    )  # fmt: skip
    takes_floats = accepts == FLOAT and coerce is None
    convert = coerce or (as_float if takes_floats else as_tensor)

    def build(x: Any) -> Tensor:
        tensor = convert(x)
        return apply(name, tensor) if others is None or tensor.dtype.is_float else others(tensor)

    promise = "Integers and bools become float64." if takes_floats else ""
    argument = "x: a tensor, array or scalar of any shape."
    _name(build, name, _document(summary, argument, promise, result, derivative, convention, example))
    return function(
        name=name,
        formula=formula or (floats(reference) if takes_floats else reference),
        samples=[*samples(template or over()), *more],
        dtypes=dtypes or ((*FLOAT, "int32", "uint8") if takes_floats else accepts),
        differentiable=not isinstance(vjp, _Sentinel),
        convention=convention,
        errors=[*TEXT, *errors],
    )(build)


def binary(
    name: str,
    summary: str,
    *,
    derivative: str,
    vjp: tuple[Rule | _Sentinel, Rule | _Sentinel] | _Sentinel,
    reference: Callable[..., Any],
    example: str,
    accepts: tuple[str, ...] = FLOAT,
    result: str | None = None,
    dtypes: tuple[str, ...] | None = None,
    templates: tuple[Arg, Arg] | None = None,
    scalar: Any = 2,
    formula: Callable[..., Any] | None = None,
    coerce: Callable[..., tuple[Tensor, ...]] | None = None,
    more: Sequence[Sample] = (),
    convention: str = "",
    errors: Errors = (),
) -> Callable[[Any, Any], Tensor]:
    """Declare a primitive of two inputs and its function. `scalar` is a Python operand that the samples try."""
    differentiable = not isinstance(vjp, _Sentinel)
    primitive(
        name, kind=Kind.ELEMENTWISE, infer=elementwise_rule(name, accepts, result), reference=reference,
        vjp=vjp, jvp=vjp if isinstance(vjp, _Sentinel) else Jvp.POINTWISE,
    )  # fmt: skip
    takes_floats = accepts == FLOAT and coerce is None
    convert = coerce or (float_operands if takes_floats else operands)

    def build(x1: Any, x2: Any) -> Tensor:
        return apply(name, *convert(x1, x2))

    promise = "Integers and bools become float64." if takes_floats else ""
    arguments = "x1, x2: tensors, arrays or scalars; dtypes are promoted and shapes broadcast as in NumPy."
    _name(build, name, _document(summary, arguments, promise, result, derivative, convention, example))
    a, b = templates or (over(), over())
    return function(
        name=name,
        formula=formula or (floats(reference) if takes_floats else reference),
        samples=[*samples(a, b), *_with_scalar(a, b, scalar), *more],
        dtypes=dtypes or ((*FLOAT, "int32", "uint8") if takes_floats else accepts),
        differentiable=differentiable and any(not isinstance(rule, _Sentinel) for rule in vjp),  # type: ignore[union-attr]
        convention=convention,
        errors=[(ShapeError, (Arg((2, 3), dtype=accepts[0]), Arg((4,), dtype=accepts[0])), {}), *errors],
    )(build)


def _with_scalar(a: Arg, b: Arg, scalar: Any) -> list[Sample]:
    if scalar is None:
        return []
    return [Sample((replace(a, shape=(2, 3)), scalar)), Sample((scalar, replace(b, shape=(3,))))]


def float_operands(*values: Any) -> tuple[Tensor, ...]:
    """Values promoted and broadcast, in a floating dtype: integers and bools become float64."""
    tensors = operands(*values)
    return tensors if tensors[0].dtype.is_float else tuple(cast(tensor, DTYPES["float64"]) for tensor in tensors)


def _name(build: Any, name: str, document: str) -> None:
    """Make `build` look like a function of graphc's that was written out."""
    build.__name__ = build.__qualname__ = name
    build.__module__, build.__doc__ = "graphc", document


def _document(
    summary: str, arguments: str, promise: str, result: str | None, derivative: str, convention: str, example: str
) -> str:
    """The docstring of a declared function; `example` is `call  # value`."""
    call, _, value = example.partition("  # ")
    lines = [
        summary, "",
        f"{arguments} {promise}".rstrip(),
        f"Returns {result or 'the dtype of the operands'}, elementwise."
        + (f" Derivative: {derivative}." if derivative else ""),
    ]  # fmt: skip
    if convention:
        lines.append(f"Convention: {convention}.")
    lines += ["Raises DTypeError, ShapeError.", "", f">>> evaluate({call})", value]
    return "\n".join(lines)
