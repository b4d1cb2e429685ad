"""Attention and its gradient on a simulated device: extents around those of tiles, masks, views, batches, dtypes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gx
from graphc.backends.cuda.calls import attention as kernels
from graphc.backends.cuda.calls.attention_tiles import X, tiling_of
from graphc.ir.types import DTYPES
from graphc.ops.build import apply_several, broadcast_to
from graphc.ops.primitives.attention import unlaid
from graphc.ops.primitives.views import matrix_transpose
from tests.backends.cuda.running import on_device


class Case(NamedTuple):
    """Extents of q[*batch, rows, depth], k[*batch, keys, depth] and v[*batch, keys, width], and what is special."""

    rows: int
    keys: int
    depth: int
    width: int
    batch: tuple[int, ...] = ()
    dtype: str = "float32"
    causal: bool = False
    mask: str = ""  # bool, or added: the first two rows see nothing, the third the last key alone
    view: str = ""  # how q, k, v and g lie: turned, flipped


TABLE = [
    Case(1, 1, 1, 1),
    Case(1, 130, 8, 33, (2, 1, 3, 2)),
    Case(130, 1, 33, 8, (2, 3)),
    Case(3, 31, 160, 160, (2,), view="turned"),
    Case(31, 3, 128, 64, dtype="float64"),
    Case(3, 3, 160, 1, (2, 2), "float64", causal=True),
    Case(3, 64, 33, 128, (2, 2), "bfloat16", mask="bool"),
    Case(64, 65, 8, 8, (2, 2), causal=True),
    Case(65, 64, 1, 33, dtype="float64", causal=True, view="flipped"),
    Case(31, 130, 8, 8, (2,), causal=True, mask="bool", view="flipped"),
    Case(130, 31, 8, 1, (2,), causal=True, mask="added"),
    Case(65, 130, 8, 8, mask="added", view="turned"),
    Case(65, 31, 8, 8, (2, 2, 2), "bfloat16", causal=True, mask="added", view="turned"),
    Case(65, 64, 64, 33, view="turned"),
    Case(64, 64, 8, 8, (2,), "float64", mask="bool", view="turned"),
    Case(31, 65, 16, 33, dtype="float16", mask="bool"),
    Case(0, 3, 4, 4, (2,)),
    Case(3, 0, 4, 4, (2, 2), causal=True),
    Case(3, 4, 0, 0, (2,)),
    Case(3, 4, 4, 4, (0, 2), causal=True),
]


def seen(x: Any, view: str) -> Any:
    """A tensor as the kernel is to see it: what was given, through strides."""
    return matrix_transpose(x) if view == "turned" else gx.flip(x, (x.ndim - 2, x.ndim - 1)) if view else x


def program(case: Case, dtype: str) -> tuple[list[Any], list[Any]]:
    """The inputs, and the results of both ops."""
    real = "float64" if dtype == "float64" else "float32"
    shapes = {
        "q": (case.rows, case.depth), "k": (case.keys, case.depth), "v": (case.keys, case.width),
        "g": (case.rows, case.width),
    }  # fmt: skip
    turn = -1 if case.view == "turned" else 1
    inputs = [
        gx.input(name, (*case.batch, *shape[::turn]), real if name == "g" else dtype) for name, shape in shapes.items()
    ]
    q, k, v, g = (seen(x, case.view) for x in inputs)
    masks = []
    if case.mask:
        inputs.append(gx.input("mask", (case.rows, case.keys), "bool" if case.mask == "bool" else dtype))
        masks = [broadcast_to(inputs[-1], (*case.batch, case.rows, case.keys))]
    attrs = {"causal": case.causal, "scale": 0.3}
    output, top, total = apply_several("attention", q, k, v, *masks, **attrs)
    delta = gx.sum(unlaid(output) * g, axis=-1)
    return inputs, [
        output,
        top,
        total,
        *apply_several("attention_grad", q, k, v, g, top, total, delta, *masks, **attrs),
    ]


def arrays(inputs: Sequence[Any]) -> list[Any]:
    random = np.random.default_rng(7)
    found = [random.normal(size=x.shape).astype(x.dtype.numpy) for x in inputs]
    if len(found) > 4:
        shown = random.random(inputs[4].shape) < 0.6
        shown[:2] = False
        shown[2] = np.arange(shown.shape[1]) == shown.shape[1] - 1
        found[4] = (
            shown if inputs[4].dtype.kind == "bool" else np.where(shown, found[4], -np.inf).astype(found[4].dtype)
        )
    return found


def check(case: Case) -> None:
    """16-bit floats are compared with float32 of the same values, which is what kernels compute in."""
    inputs, outputs = program(case, case.dtype)
    given = arrays(inputs)
    found = [np.zeros(output.shape, output.dtype.numpy) for output in outputs]
    on_device(inputs, outputs).run(given, found)
    wide = case.dtype if DTYPES[case.dtype].itemsize > 2 else "float32"
    inputs, outputs = program(case, wide)
    values = {x: array.astype(x.dtype.numpy) for x, array in zip(inputs, given, strict=True)}
    tolerance = 1e-12 if wide == "float64" else 1e-5
    for got, wanted in zip(found, gx.evaluate(outputs, values), strict=True):
        np.testing.assert_allclose(got, wanted, tolerance, tolerance)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: "-".join(str(part) for part in case if part != ""))
def test_attention_and_its_gradient(case: Case) -> None:
    check(case)


def test_indices_of_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels._Attention, "word", "u64")
    check(Case(3, 33, 4, 8, (2, 2), causal=True, mask="bool", view="flipped"))


def test_tiles_fit() -> None:
    """Shared memory and registers of a block suffice for all widths, and nothing is left out."""
    for dtype, depth, width in itertools.product(("float64", "float32"), (0, 1, 7, 16, 64, 129, 1000), (1, 33, 500)):
        both = [depth, width]
        for depths, widths, of_keys in (([depth], [width], False), (both, [depth], False), (both, both, True)):
            tiling = tiling_of(200, 200, depths, widths, DTYPES[dtype], of_keys=of_keys)
            assert tiling.fits
            covered = [tiling.parts * columns * X for columns in tiling.columns]
            assert all(most >= wanted for most, wanted in zip(covered, widths, strict=True))
            assert all(tiling.slices >= tiling.slice(d) * (tiling.queries + tiling.keys + 4) for d in depths)
