"""Results that need no buffer: what a library kernel computes and its own epilogue alone reads.

A weight's gradient that goes straight into the update, the input of an activation that nobody asks for again: such a
result stays in the scratch memory of the thread, tile by tile, or in registers. Where the epilogue can write its own
result over it, a buffer is shared already, and nothing is gained; where that lies inside another value, it is written
there at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from graphc.assembly.records import LOCAL, Sketch
from graphc.assembly.values import Values
from graphc.memory.numbers import ValueNumber

__all__ = ["keep_local"]


def keep_local(
    sketches: Sequence[Sketch], values: Values, wanted: Collection[ValueNumber]
) -> tuple[list[Sketch], set[ValueNumber]]:
    """The sketches, with local results in no buffer, and these results; `wanted` values are read afterwards."""
    touches = Counter(value for sketch in sketches for value in {*sketch.reads, *sketch.writes})
    local = set[ValueNumber]()
    result = []
    for sketch in sketches:
        value = sketch.operands[-1][0] if sketch.operands and sketch.loop is None else LOCAL
        if value != LOCAL and touches[value] == 1 and value not in wanted and _is_alone(value, values):
            over = [values.values[written] for read, written in sketch.in_place if read == value]
            inside = next((record.inside for record in over if record.inside is not None), None)
            if inside is not None:
                values.put_inside(value, *inside)
            elif _can_stay(sketch) and not any(record.storage is None for record in over):
                local.add(value)
                sketch = _localised(sketch, value)
        result.append(sketch)
    return result, local


def _can_stay(sketch: Sketch) -> bool:
    """Whether the library kernel can leave its result for its epilogue, in scratch memory or in registers."""
    return sketch.routine.in_registers or sketch.routine.result_bytes > 0


def _is_alone(value: ValueNumber, values: Values) -> bool:
    """Whether the value lies in the arena, in no other's place, and none in its."""
    record = values.values[value]
    return record.storage is None and record.inside is None and value not in values.pieces


def _localised(sketch: Sketch, value: ValueNumber) -> Sketch:
    """The sketch with `value` in no buffer."""
    operands, program_operands = (
        tuple((LOCAL, 0) if operand == value else (operand, offset) for operand, offset in places)
        for places in (sketch.operands, sketch.program_operands)
    )
    return replace(
        sketch, operands=operands, program_operands=program_operands,
        reads=tuple(v for v in sketch.reads if v != value), writes=tuple(v for v in sketch.writes if v != value),
        in_place=tuple(pair for pair in sketch.in_place if value not in pair),
    )  # fmt: skip
