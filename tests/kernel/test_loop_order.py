"""The order of a loop nest's dims: what lies contiguous in the largest array in memory runs innermost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.fusion.fuse import fuse
from graphc.kernel.ir import Space
from graphc.kernel.loops import lower_group
from graphc.pipeline import optimise

Build = Callable[..., gx.Tensor]
CASES: dict[str, tuple[Build, tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]] = {
    "rows": (lambda x: gx.sum(gx.exp(x), axis=1), ((6, 5),), ((6,), (5,), ())),
    "columns": (lambda x: gx.sum(gx.exp(x), axis=0), ((6, 5),), ((), (6,), (5,))),
    "columns of a transposed array": (lambda x: gx.sum(gx.exp(x.T), axis=0), ((6, 5),), ((6,), (5,), ())),
    "pairs of vectors, which only the loops spread out": (
        lambda x, y: gx.sum(gx.exp(x[:, None] - y), axis=1), ((6,), (5,)), ((6,), (5,), ())
    ),
    "the largest read, not what the loops make of it in another order": (
        lambda g, y: gx.sum((g * y[:, None]).transpose(1, 2, 0), axis=2), ((6, 5, 4), (6, 4)), ((), (6,), (5, 4))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_order_follows_memory(name: str) -> None:
    build, shapes, expected = CASES[name]
    inputs = [gx.input(f"x{i}", shape) for i, shape in enumerate(shapes)]
    (group,) = fuse(optimise(build_graph(inputs, build(*inputs))[0]))
    assert lower_group(group)[0].space == Space(*expected)
