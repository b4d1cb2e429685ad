"""Bytes per second of elementwise kernels and of rows, beside a copy on the device; what a launch costs.

Large arrays are parameters, and results are updates of others: a launch of the program's graph copies nothing. Bytes
are the least that must be moved: each operand once, each result once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np

import graphc as gx
from benchmarks.cuda_check.gauge import Gauge, gauge_here
from benchmarks.cuda_check.runner import Row
from graphc import nn
from graphc.backends.cuda.engine.device import DeviceMemory
from graphc.ir.types import DTYPES

__all__ = ["COLUMNS", "DTYPES_MEASURED", "ROWS", "bandwidth", "launch", "rows"]

Array = np.ndarray[Any, Any]
DTYPES_MEASURED = ("float32", "bfloat16")
ELEMENTWISE: dict[str, Callable[[Any, Any], Any]] = {
    "x * s + x": lambda x, s: x * s + x,
    "gelu(x) * s + x": lambda x, s: gx.gelu(x) * s + x,
}
COLUMNS = {"1k": 1 << 10, "4k": 1 << 12, "16k": 1 << 14, "64k": 1 << 16, "256k": 1 << 18}
ROWS = ("softmax", "layer norm", "cross-entropy")
CHAIN = 100
STEPS = 200  # calls of a program that are timed, five times


# Bandwidth -----------------------------------------------------------------------------------------------------------
def bandwidth(dtype: str, dry: bool) -> Iterator[Row]:
    """A row for each elementwise kernel in a dtype, beside a copy of as many bytes."""
    shape = (8, 64) if dry else (1 << 14, 1 << 12)
    gauge = gauge_here()
    x, y, s = _filled("x", shape, dtype), _filled("y", shape, dtype), _filled("s", shape[1:], dtype)
    for name, function in ELEMENTWISE.items():
        program = gx.compile([], [], {y: function(x, s)}, backend="cuda")
        yield {"kernel": name, "dtype": dtype, **_rates(gauge, program, 2 * _nbytes(shape, dtype), ())}


def rows(part: str, dry: bool) -> Iterator[Row]:
    """A row forward, and one with the gradient: `part` is a function, how many columns, and a dtype."""
    *words, size, dtype = part.split(" ")
    name, columns = " ".join(words), 40 if dry else COLUMNS[size]
    shape = (4, columns) if dry else ((1 << 25) // columns, columns)
    gauge, held = gauge_here(), {array: _filled(array, shape, dtype) for array in ("x", "y", "dx", "g")}
    for what in ("forward", "forward and gradient"):
        of = _cross_entropy if name == "cross-entropy" else _softmax if name == "softmax" else _layer_norm
        inputs, updates, arrays, moved = of(held, what != "forward")
        program = gx.compile(inputs, [], updates, backend="cuda")
        told = {"function": name, "columns": columns, "dtype": dtype, "what": what}
        yield {**told, **_rates(gauge, program, moved * _nbytes(shape, dtype), arrays)}


# Each has inputs, updates, arrays for the inputs, and how many arrays of the size of `x` are moved at least.
Of = tuple[list[Any], dict[Any, Any], list[Array], int]


def _cross_entropy(held: dict[str, Any], gradient: bool) -> Of:
    rows, columns = held["x"].shape
    labels, given = np.arange(rows, dtype=np.int32) % columns, gx.input("labels", (rows,), "int32")
    loss, total = nn.cross_entropy(held["x"], given), gx.parameter("total", np.zeros((), np.float32))
    slope = {held["dx"]: gx.grad(loss, held["x"])} if gradient else {}
    return [given], {total: loss.astype("float32"), **slope}, [labels], 2 if gradient else 1


def _softmax(held: dict[str, Any], gradient: bool) -> Of:
    return _with_slopes(held, gx.softmax(held["x"], axis=1), [], gradient)


def _layer_norm(held: dict[str, Any], gradient: bool) -> Of:
    x = held["x"]
    w, b = (_filled(name, x.shape[1:], x.dtype.name) for name in ("w", "b"))
    centred = x - x.mean(1, keepdims=True)
    value = centred / gx.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5) * w + b
    return _with_slopes(held, value, [w, b], gradient)


def _with_slopes(held: dict[str, Any], value: Any, weights: list[Any], gradient: bool) -> Of:
    if not gradient:
        return [], {held["y"]: value}, [], 2
    slopes = gx.vjp(value, [held["x"], *weights], held["g"])
    into = [held["dx"], *(_filled("slope", w.shape, w.dtype.name) for w in weights)]
    return [], {held["y"]: value, **dict(zip(into, slopes, strict=True))}, [], 4


def _filled(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """A parameter of normal numbers, a million of them again and again."""
    some = np.random.default_rng(0).standard_normal(min(int(np.prod(shape)), 1 << 20), np.float32)
    return gx.parameter(name, np.resize(some.astype(DTYPES[dtype].numpy), shape))


def _nbytes(shape: tuple[int, ...], dtype: str) -> int:
    return int(np.prod(shape)) * DTYPES[dtype].numpy.itemsize


def _rates(gauge: Gauge, program: Any, traffic: int, arrays: Any) -> Row:
    """GB/s of a program's kernels and of a copy that moves as many bytes, and the share of the one in the other."""
    program(*arrays)
    blocks = [DeviceMemory(gauge.device, traffic // 2) for _ in range(2)]
    source, target = (int(block.address) for block in blocks)
    kernels = gauge.seconds(gauge.launching(program))
    copy = gauge.seconds(lambda: gauge.copy(target, source, traffic // 2))
    speeds = {"GB/s": traffic / kernels / 1e9, "copy": traffic / copy / 1e9, "share": copy / kernels}
    return {"kernels": len(program._engine._nodes), **speeds}


# Launches ------------------------------------------------------------------------------------------------------------
def launch(part: str, dry: bool) -> Iterator[Row]:
    """Microseconds of a launch of a graph, by node, and of a call of the program, which copies and waits."""
    gauge = gauge_here()
    w: Any = gx.parameter("w", np.eye(8, dtype=np.float32))
    value = gx.tanh(w) if part == "tiny" else w
    for _ in range(0 if part == "tiny" else 5 if dry else CHAIN):
        value = value @ (w * 0.5)
    program: Any = gx.compile([], [], {w: value}, backend="cuda")
    program()
    nodes, seconds = len(program._engine._nodes), gauge.seconds(gauge.launching(program))
    calls = 1 if dry else STEPS
    told = {"program": part, "nodes": nodes, "launch": 1e6 * seconds, "node": 1e6 * seconds / nodes}
    yield {**told, "call": 1e6 * median(_called(program, calls) for _ in range(1 if dry else 5))}


def _called(program: Any, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        program()
    return (time.perf_counter() - start) / calls
