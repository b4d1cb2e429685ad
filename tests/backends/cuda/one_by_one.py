"""An oracle for the simulator: the threads of a kernel one by one, in plain Python.

A kernel's text becomes a generator that yields where threads meet, at barriers and shuffles; a scheduler takes all
threads of a block from one such place to the next. Integers are Python's, cut where the text converts them; floats are
NumPy's scalars. It shares nothing with the simulator but the text.
"""

from __future__ import annotations

import ast
import math
import struct
from collections.abc import Callable, Generator, Sequence
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from graphc.backends.cuda.kernel import CudaKernel

__all__ = ["run_one_by_one"]

WARP = 32
Thread = Generator[tuple[Any, ...], Any, None]


class _Meetings(ast.NodeTransformer):
    """Barriers and shuffles as places where a generator yields; shared arrays are asked for by their place."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(ast.Name("cuda"), "syncthreads"):
                return ast.Yield(ast.Tuple([ast.Constant("barrier")], ast.Load()))
            case ast.Attribute(ast.Name("cuda"), "shfl_xor_sync"):
                return ast.Yield(ast.Tuple([ast.Constant("shuffle"), *node.args[1:]], ast.Load()))
            case ast.Attribute(ast.Attribute(ast.Name("cuda"), "shared"), "array"):
                return ast.Call(ast.Name("shared_array", ast.Load()), [ast.Constant(node.lineno), *node.args], [])
        return node


def _whole(bits: int, signed: bool) -> Callable[[Any], int]:
    def cut(value: Any) -> int:
        number = int(value) & ((1 << bits) - 1)
        return number - (1 << bits) if signed and number >> (bits - 1) else number

    return cut


TYPES: dict[str, Callable[[Any], Any]] = {
    "f32": np.float32, "f64": np.float64,
    **{f"{kind}{bits}": _whole(bits, kind == "i") for kind in "iu" for bits in (8, 16, 32, 64)},
}  # fmt: skip


def _as_bits(source: str, target: str) -> Callable[[Any], Any]:
    return lambda value: struct.unpack(target, struct.pack(source, value))[0]


def _single(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: np.float32(function(*(np.float64(arg) for arg in args)))


_DOUBLES: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in str.split(
        "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh floor ceil trunc rint fabs fmod copysign"
    )},
    "atan2": np.arctan2, "pow": np.power, "erf": math.erf, "erfc": math.erfc,
}  # fmt: skip


class _Libdevice:
    """Functions in float64, of which those for float32, whose names end in f, are rounded."""

    float_as_int = staticmethod(_as_bits("<f", "<i"))
    int_as_float = staticmethod(lambda value: np.float32(_as_bits("<i", "<f")(value)))
    fdiv_rn, ddiv_rn = staticmethod(np.divide), staticmethod(np.divide)
    fsqrt_rn, dsqrt_rn = staticmethod(np.sqrt), staticmethod(np.sqrt)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in _DOUBLES:
            return lambda *args: np.float64(_DOUBLES[name](*args))
        return _single(_DOUBLES[name.removesuffix("f")])


def _larger(a: Any, b: Any) -> Any:
    return a if math.isnan(a) else b if math.isnan(b) else max(a, b)


def _smaller(a: Any, b: Any) -> Any:
    return a if math.isnan(a) else b if math.isnan(b) else min(a, b)


def _named() -> dict[str, Any]:
    """What kernels call that is of this package."""
    names: dict[str, Any] = {**TYPES, "math": math, "libdevice": _Libdevice(), "min": min, "max": max, "range": range}
    for kind, make in TYPES.items():
        names[f"larger_{kind}"], names[f"smaller_{kind}"] = _larger, _smaller
        names[f"either_{kind}"] = lambda choice, yes, no: yes if choice else no
        for size in (2, 4, 8):
            names[f"zeros_{kind}x{size}"] = lambda size=size, make=make: (make(0),) * size
            names[f"load_{kind}x{size}"] = lambda o, at, size=size: tuple(o[at + k] for k in range(size))
            names[f"pick_{kind}x{size}"] = lambda several, number: several[number]
            names[f"put_{kind}x{size}"] = lambda s, number, value: (*s[:number], value, *s[number + 1 :])
            names[f"store_{kind}x{size}"] = _store_several
    for name, dtype in (("bf16", ml_dtypes.bfloat16), ("f16", np.float16)):
        names[f"from_{name}"] = lambda bits, dtype=dtype: np.float32(np.uint16(bits).view(dtype))
        names[f"to_{name}"] = lambda value, dtype=dtype: int(np.asarray(value, dtype).view(np.uint16))
        names[f"round_{name}"] = lambda value, dtype=dtype: np.float32(np.asarray(value, dtype))
    return names


def _store_several(operand: Any, at: int, several: Sequence[Any]) -> None:
    for k, value in enumerate(several):
        operand[at + k] = value


class _Operand:
    """Memory whose elements are read as Python's integers, or as floats of NumPy."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    def __getitem__(self, at: int) -> Any:
        assert 0 <= at < self.array.size
        return self.array[at] if self.array.dtype.kind == "f" else int(self.array[at])

    def __setitem__(self, at: int, value: Any) -> None:
        assert 0 <= at < self.array.size
        self.array[at] = value


def run_one_by_one(kernel: CudaKernel, operands: Sequence[np.ndarray[Any, Any]]) -> None:
    """Run a kernel on flat arrays of its types, block by block."""
    tree = ast.fix_missing_locations(_Meetings().visit(ast.parse(kernel.text)))
    given = [_Operand(array) for array in operands]
    with np.errstate(all="ignore"):
        for block in range(kernel.blocks):
            _run_block(tree, kernel, given, block)


def _run_block(tree: ast.Module, kernel: CudaKernel, operands: Sequence[_Operand], block: int) -> None:
    shared: dict[int, dict[int, Any]] = {}
    code = compile(tree, kernel.function, "exec")
    threads = []
    for number in range(kernel.threads):
        names = _named()
        local = SimpleNamespace(array=lambda size, make: [None] * size)
        place = {"threadIdx": SimpleNamespace(x=number), "blockIdx": SimpleNamespace(x=block), "local": local}
        names |= {"cuda": SimpleNamespace(**place), "shared_array": lambda line, *_: shared.setdefault(line, {})}
        exec(code, names)
        made = names[kernel.function](*operands, *kernel.numbers)
        threads.append(made if isinstance(made, Generator) else iter(()))
    _in_turns(threads)


def _in_turns(threads: list[Any]) -> None:
    """Take all threads from one meeting to the next; in each all that are left ask for the same."""
    asked = {number: next(thread, None) for number, thread in enumerate(threads)}
    while asked := {number: what for number, what in asked.items() if what is not None}:
        (kind,) = {what[0] for what in asked.values()}
        answers = {n: asked[n ^ int(what[2])][1] if kind == "shuffle" else None for n, what in asked.items()}
        asked = {number: _sent(threads[number], answer) for number, answer in answers.items()}


def _sent(thread: Thread, answer: Any) -> Any:
    try:
        return thread.send(answer)
    except StopIteration:
        return None
