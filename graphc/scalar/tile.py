"""The tile machine's operations, in order: those of its own, and between them the scalar ops that have loops.

`operations` numbers them for the assembler (backends/tile/words.py). `header` writes the same order, and the lists of
each kind of loop, as C; setup.py puts it beside the headers as tile_ops.h. So Python and C cannot disagree.
"""

from __future__ import annotations

import textwrap

from graphc.scalar.ops import SCALARS, LoopKind

__all__ = ["header", "operations"]

_BEFORE = (
    "load load_over bind store iota random repeat "
    "sum_start sum_step sum_finish max_start max_step max_finish min_start min_step min_finish"
)
_AFTER = (
    "to_u8 to_bool to_i8 to_i32 to_u32 to_i64 to_f32 to_f64 to_bf16 to_f16 "
    "from_bf16 from_f16 wrap_i8 round_bf16 round_f16 to_odd "
    "multiply_add multiply_subtract subtract_product multiply_multiply add_add add_multiply subtract_multiply copy"
)
_WIDTH = 110


def operations() -> tuple[str, ...]:
    """Every operation; its place is its number."""
    scalars = (op.name for op in SCALARS.values() if op.loops is not LoopKind.NONE)
    return (*_BEFORE.split(), *scalars, *_AFTER.split())


def header() -> str:
    """tile_ops.h: `GC_TILE_OPS(F)` applies F to every operation, `GC_<LIST>_OPS(F, T)` to those of one kind of loop."""
    guard = "GRAPHC_TILE_OPS_H"
    top = "/* The tile machine's operations. Written by setup.py from graphc/scalar: change it there. */"
    lists = [_macro("GC_TILE_OPS(F)", [f"F({name})" for name in operations()])]
    for loops in LoopKind:
        calls = [f"F({op.name},T)" for op in SCALARS.values() if op.loops is loops and loops is not LoopKind.NONE]
        lists += [f"/* {loops.value} */\n" + _macro(f"GC_{loops.name}_OPS(F, T)", calls)] if calls else []
    return "\n\n".join([f"{top}\n#ifndef {guard}\n#define {guard}", *lists, "#endif\n"])


def _macro(name: str, calls: list[str]) -> str:
    return " \\\n    ".join([f"#define {name}", *textwrap.wrap(" ".join(calls), _WIDTH)])
