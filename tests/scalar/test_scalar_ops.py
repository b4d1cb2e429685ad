"""The records of scalar ops: what they say holds on every engine, and none can be missing where it is read."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.api import compile
from graphc.backends.tile.words import OPS as TILE_OPS
from graphc.dsl.variables import input
from graphc.errors import GraphcError, InternalError
from graphc.ir.types import DTYPES
from graphc.kernel.cost import operation_cost
from graphc.kernels import cpu
from graphc.ops.build import apply, cast
from graphc.ops.record import NO_GRADIENT, OPS, Kind, primitive
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.scalar.ops import SCALARS, LoopKind, Parity
from graphc.scalar.tile import header, operations
from graphc.toolchain.compiler import find_compiler
from tests.runtime.support import needs_compiler

INCLUDE = Path(cpu.__file__).parent / "include"
SPECIAL = ("where", "cast")  # of arguments of several types
BYTES = np.arange(-128, 128, dtype=np.int8)
BACKENDS = ["cython", pytest.param("c", marks=needs_compiler)]
Array = np.ndarray[Any, Any]


# Nothing is missing, and nothing disagrees ---------------------------------------------------------------------------
def test_every_elementwise_op_has_a_record_and_its_cost() -> None:
    elementwise = {name for name, op in OPS.items() if op.kind is Kind.ELEMENTWISE and name != "copy"}
    assert elementwise == SCALARS.keys()
    assert all(OPS[name].cost == record.cost == operation_cost(name) for name, record in SCALARS.items())


@pytest.mark.parametrize(("name", "cost"), [("twice", None), ("exp", 3)])
def test_an_elementwise_op_without_a_record_or_with_a_cost_beside_it_is_no_op(name: str, cost: int | None) -> None:
    before = dict(OPS)
    try:
        OPS.pop(name, None)
        with pytest.raises(InternalError, match=f"op {name} is elementwise: it has either a record"):
            primitive(
                name, kind=Kind.ELEMENTWISE, infer=lambda x: x, vjp=NO_GRADIENT, jvp=NO_GRADIENT, reference=np.exp,
                cost=cost,
            )  # fmt: skip
    finally:
        OPS.update(before)
    assert before == OPS


def test_the_tile_machine_has_the_operations_of_the_assembler_in_order() -> None:
    assert (INCLUDE / "graphc" / "tile_ops.h").read_text() == header(), "build again"
    assert list(TILE_OPS) == list(operations())
    assert list(TILE_OPS.values()) == list(range(len(TILE_OPS)))
    assert {op.name for op in SCALARS.values() if op.loops is not LoopKind.NONE} <= TILE_OPS.keys()


@needs_compiler
@pytest.mark.parametrize("loops", [loops for loops in LoopKind if loops not in (LoopKind.NONE, LoopKind.CHOICE)])
def test_without_its_c_function_nothing_is_built(loops: LoopKind, tmp_path: Path) -> None:
    text, name = header(), f"GC_{loops.name}_OPS(F, T) \\\n"
    assert text.count(name) == 1
    written = text.replace(name, f"{name}    F(twice,T) \\\n").replace("F(load) ", "F(load) F(twice) ", 1)
    (tmp_path / "graphc").mkdir()
    for path in (INCLUDE / "graphc").glob("*.h"):
        (tmp_path / "graphc" / path.name).write_text(path.read_text())
    source = tmp_path / "table.c"
    source.write_text('#define _GNU_SOURCE\n#include "graphc/tile_decode.h"\n')
    strict = "-Werror=implicit-function-declaration"  # as in setup.py
    command = [*find_compiler().command, "-std=c11", "-fsyntax-only", strict, "-I", str(tmp_path), str(source)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (tmp_path / "graphc" / "tile_ops.h").write_text(written)
    broken = subprocess.run(command, capture_output=True, text=True)
    assert broken.returncode != 0
    assert "twice" in broken.stderr


def test_mirrors_are_mutual() -> None:
    for op in SCALARS.values():
        assert not op.mirror or SCALARS[op.mirror].mirror == op.name
        assert not op.on_bool or op.on_bool in SCALARS
        assert not op.on_integers or op.on_integers in SCALARS


# What they say holds -------------------------------------------------------------------------------------------------
def run(op: str, arrays: Sequence[Array], backend: str, wide: str | None = None) -> tuple[Array, Array]:
    """The op of arrays, as it is or cast on from where it is computed, by an engine, and by the reference."""
    tensors = [input(f"x{i}", array.shape, array.dtype.name) for i, array in enumerate(arrays)]
    result: Tensor = apply(op, *tensors)
    result = result if wide is None else cast(result, DTYPES[wide])
    (found,) = compile(tensors, [result], backend=backend)(*arrays)
    (expected,) = evaluate([result], dict(zip(tensors, arrays, strict=True)))
    return found, expected


def numbers(dtype: str) -> Array:
    """Many sizes of both signs, zeros, whole and half numbers, infinities."""
    rng = np.random.default_rng(3)
    large = rng.standard_normal(4000) * 10.0 ** rng.integers(-6, 7, 4000)
    found = np.concatenate([large, rng.uniform(-1, 1, 2000), np.arange(-8, 8.5, 0.5), [0.0, np.inf]])
    return found.astype(dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parity_holds_to_the_bit(dtype: str, backend: str) -> None:
    x = numbers(dtype)
    for op in SCALARS.values():
        if op.parity is not Parity.NONE:
            (there, _), (back, _) = run(op.name, [x], backend), run(op.name, [-x], backend)
            turned = -there if op.parity is Parity.ODD else there
            known = ~np.isnan(there) if there.dtype.kind == "f" else np.ones(x.shape, bool)
            assert turned[known].tobytes() == back[known].tobytes(), op.name
            assert (np.isnan(back[~known])).all(), op.name


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_positive_is_not_negative_and_tells_no_zeros_apart(backend: str) -> None:
    x = numbers("float64")
    for op in SCALARS.values():
        if op.is_positive:
            found, _ = run(op.name, [x], backend)
            assert (found[np.abs(x) < 5] > 0).all(), op.name
            assert not np.signbit(found).any(), op.name
            (at_zero, at_minus_zero), _ = run(op.name, [np.array([0.0, -0.0])], backend)
            assert at_zero == at_minus_zero > 0, op.name


@pytest.mark.parametrize("backend", BACKENDS)
def test_exact_ops_and_those_that_do_not_wrap_need_no_step_after_them(backend: str) -> None:
    """All float16 and all int8 there are, also in pairs."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[~np.isnan(every)]
    left, right = (np.ascontiguousarray(part) for part in np.broadcast_arrays(BYTES[:, None], BYTES))
    for op in SCALARS.values():
        if op.name in SPECIAL or op.gives_bool:
            continue
        if op.is_exact and _takes(op.name, "float16"):
            arrays = [every, every[::-1].copy()][: op.arity]
            found, expected = run(op.name, arrays, backend, "float32")
            np.testing.assert_array_equal(found, expected, op.name)
        if _takes(op.name, "int8"):
            arrays = [left, np.abs(right) % 7 if op.name == "power" or "shift" in op.name else right][: op.arity]
            found, expected = run(op.name, arrays, backend, "int32")
            np.testing.assert_array_equal(found, expected, op.name)


def _takes(op: str, dtype: str) -> bool:
    try:
        OPS[op].infer(*[input("x", (1,), dtype).type] * SCALARS[op].arity)
    except GraphcError:
        return False
    return True
