"""Marks: they pass their first input through, and say something about it to those who read the graph.

`stop_gradient` tells autodiff, `with_update` tells compile, `index_within` tells what a call's indices are checked by
(graphc/ops/index_ranges.py). The two of `checkpoint` bound a region, for the planner of memory (fusion/regions.py).
"""

from __future__ import annotations

from graphc.errors import ShapeError
from graphc.ir.fresh import Fresh
from graphc.ir.types import TensorType
from graphc.ops.record import ZERO, Jvp, Kind, View, primitive

__all__ = ["ENTER", "INDEX_WITHIN", "LEAVE"]

ENTER, LEAVE, INDEX_WITHIN = "checkpoint_enter", "checkpoint_leave", "index_within"

primitive(
    "stop_gradient", kind=Kind.MARK, infer=lambda x: x, vjp=(ZERO,), jvp=Jvp.POINTWISE, reference=lambda x: x, cost=0
)


def _infer_with_update(y: TensorType, parameter: TensorType, value: TensorType) -> TensorType:
    if value != parameter:
        raise ShapeError(f"a parameter of type {parameter} cannot be updated to {value}")
    return y


primitive(
    "with_update", kind=Kind.MARK, infer=_infer_with_update, vjp=(lambda g, y, x, parameter, value: g, ZERO, ZERO),
    jvp=Jvp.POINTWISE, reference=lambda y, parameter, value: y, cost=0,
)  # fmt: skip
primitive(
    INDEX_WITHIN, kind=Kind.MARK, infer=lambda x, *, low, high, ignored, what: x, vjp=(ZERO,), jvp=Jvp.POINTWISE,
    reference=lambda x, *, low, high, ignored, what: x, cost=0,
)  # fmt: skip


def _infer_region(x: TensorType, *, region: int | Fresh) -> TensorType:
    return x


for _name in (ENTER, LEAVE):
    primitive(
        _name, kind=Kind.VIEW, view=View.SAME, infer=_infer_region, vjp=(lambda g, y, x, region: g,),
        jvp=Jvp.POINTWISE, reference=lambda x, *, region: x, cost=0,
    )  # fmt: skip
