"""Uniform, normal, bernoulli and randint numbers, made of `random_bits`.

Each call of a function has a stream of its own, from `FIRST_STREAM` on, which the graph numbers when it is closed.
`stream=` names one below that instead, for one call in a graph.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError, shown, with_location
from graphc.ir.fresh import Fresh
from graphc.ir.location import capture
from graphc.ir.types import DTYPES, DType, TensorType, tensor_type
from graphc.ops import build
from graphc.ops.build import apply, as_tensor, cast, invoke
from graphc.ops.functions.sources import formula_dtype
from graphc.ops.primitives.random import FIRST_STREAM, random_bits_reference
from graphc.ops.primitives.views import Ints, dtype_error, narrow, reshape_to, shape_error
from graphc.ops.record import Arg, Array, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["bernoulli", "normal", "randint", "uniform"]


def _bits(count: int, shape: Ints, stream: int | None) -> tuple[Tensor, ...]:
    """`count` independent words for each element."""
    if stream is not None and (type(stream) is not int or not 0 <= stream < FIRST_STREAM):
        message = f"a stream is an integer from 0 to {FIRST_STREAM - 1}, not {shown(stream)}"
        raise with_location(GraphError(message), capture())
    words = apply("random_bits", shape=(count, *shape), stream=Fresh(FIRST_STREAM) if stream is None else stream)
    return tuple(reshape_to(narrow(words, 0, i, 1), shape) for i in range(count))


# From bits to numbers --------------------------------------------------------------------------------------------
def _top(word: Tensor, bits: int, dtype: DType) -> Tensor:
    """The first `bits` bits of each word, as whole numbers of `dtype`."""
    return cast(apply("bitwise_right_shift", word, build.full_like(word, 32 - bits)), dtype)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return apply("multiply", x, build.full_like(x, factor))


def _fraction64(high: Tensor, low: Tensor) -> Tensor:
    """float64 in [0, 1), a multiple of 2**-53."""
    float64 = DTYPES["float64"]
    whole = apply("add", _scaled(_top(high, 27, float64), 2.0**26), _top(low, 26, float64))
    return _scaled(whole, 2.0**-53)


def _unit(shape: Ints, dtype: DType, stream: int | None) -> Tensor:
    """Uniform in [0, 1): a multiple of 2**-53, or of 2**-24, 2**-11, 2**-8 for float32, float16, bfloat16."""
    if dtype.name == "float64":
        return _fraction64(*_bits(2, shape, stream))
    bits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype.name]
    (word,) = _bits(1, shape, stream)
    return cast(_scaled(_top(word, bits, DTYPES["float32"]), 2.0**-bits), dtype)


def _gaussian(shape: Ints, dtype: DType, stream: int | None) -> Tensor:
    """Standard normal: sqrt(-2 log u) cos(2 pi v), by Box and Muller (1958), with u in (0, 1] and v in [0, 1)."""
    if dtype.name == "float64":
        a, b, c, d = _bits(4, shape, stream)
        u, v, tiny = _fraction64(a, b), _fraction64(c, d), 2.0**-54
    else:
        wide, tiny = DTYPES["float32"], 2.0**-33
        a, b = _bits(2, shape, stream)
        u, v = _scaled(cast(a, wide), 2.0**-32), _scaled(_top(b, 24, wide), 2.0**-24)
    u = apply("add", u, build.full_like(u, tiny))  # keeps zero out, and rounds to at most 1
    radius = apply("sqrt", _scaled(apply("log", u), -2.0))
    return cast(apply("multiply", radius, apply("cos", _scaled(v, 2 * math.pi))), dtype)


def _placed(x: Tensor, scale: Any, offset: Any) -> Tensor:
    """`x * scale + offset` for numbers or tensors that broadcast to the shape of `x`."""
    if type(scale) in (int, float) and scale == 1 and type(offset) in (int, float) and offset == 0:
        return x
    spread = [build.broadcast_to(cast(as_tensor(part, x.dtype), x.dtype), x.shape) for part in (scale, offset)]
    return apply("add", apply("multiply", x, spread[0]), spread[1])


def _plain(*values: Any) -> bool:
    """Whether all are Python numbers."""
    return all(type(value) in (int, float) for value in values)


def _float_type(shape: Any, dtype: Any, what: str) -> TensorType:
    try:
        result = tensor_type(shape, dtype)
        if not result.dtype.is_float:
            raise DTypeError(f"{what} makes floating numbers, not {result.dtype}")
    except (DTypeError, ShapeError) as error:
        raise with_location(error, capture()) from None
    return result


# Functions -------------------------------------------------------------------------------------------------------
def _words(count: int, shape: Any, stream: int) -> Array:
    return random_bits_reference((count, *tensor_type(shape).shape), stream, 0, 0)


def _uniform_formula(shape: Any, low: Any = 0.0, high: Any = 1.0, *, dtype: str = "float32", stream: int = 0) -> Any:
    words = _words(2 if dtype == "float64" else 1, shape, stream).astype(np.uint64)
    if dtype == "float64":
        unit = ((words[0] >> np.uint64(5)) * 2**26 + (words[1] >> np.uint64(6))) / 2.0**53
        return unit * (high - low) + low
    bits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype]
    unit = np.floor(words[0] / 2.0 ** (32 - bits)) / 2.0**bits
    return (unit * (high - low) + low).astype(formula_dtype(dtype))


@function(
    formula=_uniform_formula,
    samples=(
        Sample(((3, 4),), (("stream", 1),), grad=False),
        Sample(((5,), -2.0, 3.0), (("dtype", "float64"), ("stream", 2)), grad=False),
        Sample(((), 0.0, 2.0), (("stream", 3),), grad=False),
        Sample(((0, 2),), (("stream", 4),), grad=False),
        Sample(((7,),), (("dtype", "float16"), ("stream", 5)), grad=False),
        Sample(((7,),), (("dtype", "bfloat16"), ("stream", 5)), grad=False),
        Sample(((2, 3), Arg((3,), -2, -1), Arg((2, 1), 1, 2)), (("dtype", "float64"), ("stream", 6))),
    ),
    dtypes=("float32", "float64"),
    errors=(
        (ShapeError, ((-1,),), {}),
        (GraphError, ((2,), 1.0, 0.0), {}),
        (DTypeError, ((2,),), {"dtype": "int32"}),
        (GraphError, ((2,),), {"stream": -1}),
        (ShapeError, ((2,), Arg((3,))), {}),
    ),
)
def uniform(
    shape: Any, low: Any = 0.0, high: Any = 1.0, *, dtype: Any = "float32", stream: int | None = None
) -> Tensor:
    """Independent numbers, uniform in [low, high) up to rounding. Bounds are numbers or tensors that broadcast.

    Every number of float64 is a multiple of 2**-53 of the interval, of float32 of 2**-24. `stream` is the number of a
    random stream, below 2**31, that one call in a graph may draw from; else the graph gives the call one of its own.

    >>> uniform((2, 3)).shape
    (2, 3)
    """
    result = _float_type(shape, dtype, "uniform")
    if _plain(low, high) and not low <= high:
        raise with_location(
            GraphError(f"uniform is drawn from low to high, not from {shown(low)} to {shown(high)}"), capture()
        )
    unit = _unit(result.shape, result.dtype, stream)
    return _placed(unit, high - low if _plain(low, high) else invoke("subtract", high, low), low)


def _normal_formula(shape: Any, mean: Any = 0.0, std: Any = 1.0, *, dtype: str = "float32", stream: int = 0) -> Any:
    words = _words(4 if dtype == "float64" else 2, shape, stream).astype(np.float64)
    if dtype == "float64":
        u = (np.floor(words[0] / 2**5) * 2**26 + np.floor(words[1] / 2**6) + 0.5) / 2.0**53
        v = (np.floor(words[2] / 2**5) * 2**26 + np.floor(words[3] / 2**6)) / 2.0**53
    else:
        u, v = (words[0].astype(np.float32) / 2.0**32 + 2.0**-33).astype(np.float32), np.floor(words[1] / 2**8) / 2**24
    gaussian = np.sqrt(-2 * np.log(np.minimum(u, 1))) * np.cos(2 * np.pi * v)
    return (gaussian * std + mean).astype(formula_dtype(dtype))


@function(
    formula=_normal_formula,
    samples=(
        Sample(((3, 4),), (("stream", 1),), grad=False),
        Sample(((5,), -2.0, 3.0), (("dtype", "float64"), ("stream", 2)), grad=False),
        Sample(((),), (("stream", 3),), grad=False),
        Sample(((0, 2),), (("stream", 4),), grad=False),
        Sample(((2, 3), Arg((3,)), Arg((2, 1), 1, 2)), (("dtype", "float64"), ("stream", 6))),
    ),
    dtypes=("float32", "float64"),
    errors=(
        (ShapeError, ((-1,),), {}),
        (GraphError, ((2,), 0.0, -1.0), {}),
        (DTypeError, ((2,),), {"dtype": "bool"}),
        (GraphError, ((2,),), {"stream": 1 << 31}),
        (ShapeError, ((2,), 0.0, Arg((3,))), {}),
    ),
)
def normal(shape: Any, mean: Any = 0.0, std: Any = 1.0, *, dtype: Any = "float32", stream: int | None = None) -> Tensor:
    """Independent normal numbers. `mean` and `std` are numbers or tensors that broadcast to `shape`.

    Values lie within 8.7 standard deviations for float64 and 6.8 for float32, the ends of 53 and 32 bits.
    """
    result = _float_type(shape, dtype, "normal")
    if _plain(std) and not std >= 0:
        raise with_location(GraphError(f"normal takes a standard deviation of at least 0, not {shown(std)}"), capture())
    return _placed(_gaussian(result.shape, result.dtype, stream), std, mean)


def _bernoulli_formula(p: Any, shape: Any = None, *, stream: int = 0) -> Any:
    shape = np.shape(p) if shape is None else shape
    return _words(1, shape, stream)[0] // 2**8 < np.asarray(p, np.float64) * 2**24


@function(
    formula=_bernoulli_formula,
    samples=(
        Sample((0.25, (4, 5)), (("stream", 1),)),
        Sample((0.0, (9,)), (("stream", 2),)),
        Sample((1.0, (9,)), (("stream", 3),)),
        Sample((Arg((3, 4), 0, 1),), (("stream", 4),)),
        Sample((Arg((4,), 0, 1), (3, 4)), (("stream", 5),)),
        Sample((0.5, (0, 3)), (("stream", 6),)),
    ),
    dtypes=("float32", "float64"),
    differentiable=False,
    errors=(
        (ShapeError, (Arg((3,)), (2,)), {}),
        (ShapeError, (0.5, (-2,)), {}),
        (DTypeError, (1.5, (2,)), {}),
        (DTypeError, (Arg((3,), dtype="int32"),), {}),
    ),
)
def bernoulli(p: Any, shape: Any = None, *, stream: int | None = None) -> Tensor:
    """Independent bools, True with probability `p`, a number in [0, 1] or a tensor that broadcasts to `shape`.

    Probabilities are met to 2**-24. Without a shape, the result has that of `p`.
    """
    if type(p) in (int, float) and not 0 <= p <= 1:
        raise dtype_error(f"bernoulli takes a probability from 0 to 1, not {p}")
    chance = as_tensor(float(p) if type(p) is int else p)
    if not chance.dtype.is_float:
        raise dtype_error(f"bernoulli takes floating probabilities, not {chance.type}")
    result = _float_type(chance.shape if shape is None else shape, "float32", "bernoulli")
    unit = _unit(result.shape, result.dtype, stream)
    return apply("less", *build.operands(unit, build.broadcast_to(chance, result.shape)))


def _randint_formula(low: int, high: int, shape: Any, *, dtype: str = "int64", stream: int = 0) -> Any:
    words = _words(2, shape, stream).astype(np.uint64)
    unit = ((words[0] >> np.uint64(5)) * 2**26 + (words[1] >> np.uint64(6))) / 2.0**53
    return (np.floor(unit * (high - low)) + low).astype(dtype)


@function(
    formula=_randint_formula,
    samples=(
        Sample((0, 10, (4, 5)), (("stream", 1),)),
        Sample((-3, 4, (6,)), (("dtype", "int32"), ("stream", 2))),
        Sample((7, 8, (3,)), (("dtype", "uint8"), ("stream", 3))),
        Sample((0, 1 << 40, (3,)), (("stream", 4),)),
        Sample((0, 2, (0,)), (("stream", 5),)),
    ),
    dtypes=("int64",),
    differentiable=False,
    errors=(
        (ShapeError, (3, 3, (2,)), {}),
        (DTypeError, (0, 300, (2,)), {"dtype": "uint8"}),
        (DTypeError, (0, 3, (2,)), {"dtype": "float32"}),
    ),
)
def randint(low: int, high: int, shape: Any, *, dtype: Any = "int64", stream: int | None = None) -> Tensor:
    """Independent integers, uniform in [low, high); the bias is at most (high - low) / 2**53."""
    try:
        result = tensor_type(shape, dtype)
        if not result.dtype.is_integer:
            raise DTypeError(f"randint makes integers, not {result.dtype}")
    except (DTypeError, ShapeError) as error:
        raise with_location(error, capture()) from None
    if not low < high or high - low > 1 << 53:
        raise shape_error(f"randint needs low < high, at most 2**53 apart; got {low} and {high}")
    limits = np.iinfo(result.dtype.numpy)
    if low < limits.min or high - 1 > limits.max:
        raise dtype_error(f"randint from {low} to {high} does not fit {result.dtype}")
    unit = _fraction64(*_bits(2, result.shape, stream))
    whole = cast(apply("floor", _scaled(unit, float(high - low))), DTYPES["int64"])
    return cast(apply("add", whole, build.full_like(whole, low)), result.dtype)
