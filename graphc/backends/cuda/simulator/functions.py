"""What kernels call and compute with, on arrays with an element for each thread, in Numba's types."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from graphc.backends.cuda.simulator.memory import SimulationError

__all__ = ["FUNCTIONS", "OPERATORS", "TYPES", "binary", "garbage", "libdevice", "widened"]

Array = np.ndarray[Any, Any]
TYPES: dict[str, type[np.generic]] = {
    "f32": np.float32, "f64": np.float64, "i8": np.int8, "i32": np.int32, "i64": np.int64, "u8": np.uint8,
    "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
}  # fmt: skip


def _as(kind: type[np.generic]) -> Callable[[Any], Any]:
    return lambda x: np.asarray(x).astype(kind)


def _integer_of(kind: type[np.generic], bits: int) -> Callable[[Any], Any]:
    """A float to an integer; out of range, and NaN, to the smallest."""
    low = -(2.0 ** (bits - 1))

    def convert(x: Array) -> Array:
        whole = np.trunc(x.astype(np.float64))
        return np.where((whole >= low) & (whole < -low), whole, low).astype(kind)

    return convert


def _to_odd(x: Array) -> Array:
    """float64 to float32, where inexact to the odd neighbour."""
    nearest = x.astype(np.float32)
    bits, back = nearest.view(np.uint32), nearest.astype(np.float64)
    away = np.where(np.abs(back) > np.abs(x), bits - np.uint32(1), bits + np.uint32(1)).astype(np.uint32)
    return np.where((back == x) | (x != x) | (bits & 1 == 1), nearest, away.view(np.float32))


def _short(dtype: Any) -> dict[str, Callable[[Any], Any]]:
    name = "bf16" if dtype is ml_dtypes.bfloat16 else "f16"
    return {
        f"from_{name}": lambda x: x.view(dtype).astype(np.float32),
        f"to_{name}": lambda x: x.astype(dtype).view(np.uint16),
        f"round_{name}": lambda x: x.astype(dtype).astype(np.float32),
    }


def _larger(a: Array, b: Array) -> Array:
    return np.where((a == 0) & (b == 0), a + b, np.maximum(a, b))  # 0.0 above -0.0


def _smaller(a: Array, b: Array) -> Array:
    return np.where((a == 0) & (b == 0), -(-a + -b), np.minimum(a, b))


def _two(kind: type[np.generic], function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """A function of two values of a type."""

    def checked(a: Array, b: Array) -> Array:
        _check_types(function.__name__, (a, b), kind)
        return function(a, b).astype(kind)

    return checked


def _either(kind: type[np.generic]) -> Callable[[Array, Array, Array], Array]:
    def choose(choice: Array, yes: Array, no: Array) -> Array:
        _check_types("either", (yes, no), kind)
        _check_types("either", (choice,), np.uint8)
        return np.where(choice != 0, yes, no)

    return choose


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _as(kind) for name, kind in TYPES.items()},
    **_short(ml_dtypes.bfloat16), **_short(np.float16),
    "i32_of_f32": _integer_of(np.int32, 32), "i64_of_f32": _integer_of(np.int64, 64),
    **{f"larger_{kind}": _two(TYPES[kind], _larger) for kind in ("f32", "f64")},
    **{f"smaller_{kind}": _two(TYPES[kind], _smaller) for kind in ("f32", "f64")},
    **{f"either_{kind}": _either(TYPES[kind]) for kind in TYPES},
    "i32_of_f64": _integer_of(np.int32, 32), "i64_of_f64": _integer_of(np.int64, 64), "narrow_to_odd": _to_odd,
}  # fmt: skip


def _elementwise(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return lambda x: np.array([function(v) for v in x.ravel().tolist()], np.float64).reshape(x.shape)


_LIBDEVICE: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in str.split(
        "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh floor ceil trunc rint fabs fmod copysign"
    )},
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "atan2": np.arctan2, "pow": np.power, "erf": _elementwise(math.erf),
    "erfc": _elementwise(math.erfc),
}  # fmt: skip
_ROUNDED = {"div_rn": np.divide, "sqrt_rn": np.sqrt}
_BITS = {
    "int_as_float": (np.int32, np.float32), "float_as_int": (np.float32, np.int32),
    "longlong_as_double": (np.int64, np.float64), "double_as_longlong": (np.float64, np.int64),
}  # fmt: skip
OPERATORS: Mapping[type[Any], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip


def libdevice(name: str, args: Sequence[Array]) -> Any:
    """A function of libdevice: of doubles, or of floats where the name ends so, computed in float64 and rounded."""
    if name in _BITS:
        source, target = _BITS[name]
        return np.asarray(args[0].astype(source)).view(target)
    single, base = (name[0] == "f", name[1:]) if name[1:] in _ROUNDED else (False, name)
    if base in _ROUNDED:
        kind = np.float32 if single else np.float64
        _check_types(f"libdevice.{name}", args, kind)
        return _ROUNDED[base](*args)
    exact = base in _LIBDEVICE
    kind = np.float64 if exact else np.float32
    _check_types(f"libdevice.{name}", args, kind)
    function = _LIBDEVICE.get(base) if exact else _LIBDEVICE[base.removesuffix("f")]
    assert function is not None
    return function(*(arg.astype(np.float64) for arg in args)).astype(kind)


def _check_types(name: str, args: Sequence[Array], kind: type[np.generic]) -> None:
    for arg in args:
        if arg.dtype != kind:
            raise SimulationError(f"{name} takes {kind.__name__}, not {arg.dtype}")


def garbage(dtype: np.dtype[Any]) -> Any:
    """What a local has in threads that gave it no value."""
    return np.nan if dtype.kind == "f" else dtype.type(77) if dtype.kind != "b" else False


def widened(value: Any) -> Any:
    """Integers as Numba computes with them."""
    array = np.asarray(value)
    return array.astype(np.uint64 if array.dtype.kind == "u" else np.int64) if array.dtype.kind in "iub" else array


def binary(op: ast.operator, a: Any, b: Any) -> Any:
    kinds = a.dtype.kind + b.dtype.kind
    if "f" not in kinds:
        unsigned = kinds == "uu"
        if not unsigned and np.uint64 in (a.dtype, b.dtype):
            raise SimulationError("an operation of uint64 and a signed integer is one of doubles")
        kind = np.uint64 if unsigned else np.int64
        a, b = a.astype(kind, copy=False), b.astype(kind, copy=False)
    elif isinstance(op, (ast.FloorDiv, ast.Mod)):
        raise SimulationError("floats are divided by libdevice")
    return OPERATORS[type(op)](a, b)
