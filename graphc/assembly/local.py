"""Results that need no buffer: what a library kernel computes and its own epilogue alone reads.

A weight's gradient that goes straight into the update, the input of an activation that nobody asks for again: such a
result stays in the scratch memory of the thread, tile by tile. Where the epilogue can write its own result over it,
a buffer is shared already, and nothing is gained; where that lies inside another value, it is written there at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from graphc.assembly.draft import Draft
from graphc.assembly.values import Values

__all__ = ["LOCAL", "keep_local"]

LOCAL = -1  # stands for the value, and for the buffer, in the scratch memory of a thread
ALIGNMENT = 64


def keep_local(drafts: Sequence[Draft], values: Values, wanted: Collection[int]) -> tuple[list[Draft], set[int]]:
    """The drafts, with local results in scratch memory, and these results. `wanted` values are read after the step."""
    touches = Counter(value for draft in drafts for value in {*draft.reads, *draft.writes})
    local = set[int]()
    result = []
    for draft in drafts:
        value = draft.operands[-1][0] if draft.operands else LOCAL
        if value != LOCAL and touches[value] == 1 and value not in wanted and _is_alone(value, values):
            over = [values.values[written] for read, written in draft.in_place if read == value]
            inside = next((record.inside for record in over if record.inside is not None), None)
            if inside is not None:
                values.put_inside(value, *inside)
            elif draft.result_bytes and not any(record.storage is None for record in over):
                local.add(value)
                draft = _localised(draft, value)
        result.append(draft)
    return result, local


def _is_alone(value: int, values: Values) -> bool:
    """Whether the value lies in the arena, in no other's place, and none in its."""
    record = values.values[value]
    return record.storage is None and record.inside is None and value not in values.pieces


def _localised(draft: Draft, value: int) -> Draft:
    """The draft with `value` behind the rest of its scratch memory."""
    start = -(-draft.code.scratch // ALIGNMENT) * ALIGNMENT
    operands, program_operands = (
        tuple((LOCAL, start) if operand == value else (operand, offset) for operand, offset in places)
        for places in (draft.operands, draft.program_operands)
    )
    return replace(
        draft, operands=operands, program_operands=program_operands,
        code=replace(draft.code, scratch=start + draft.result_bytes),
        reads=tuple(v for v in draft.reads if v != value), writes=tuple(v for v in draft.writes if v != value),
        in_place=tuple(pair for pair in draft.in_place if value not in pair),
    )  # fmt: skip
