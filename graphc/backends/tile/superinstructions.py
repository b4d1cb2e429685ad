"""Superinstructions: two loops of an arithmetic chain become one, which saves a walk over the first-level cache.

Only what gives the same bits is fused: each operation is rounded on its own, as before. The value between the two must
have no other use.
"""

from __future__ import annotations

from dataclasses import replace

from graphc.backends.tile.words import Instruction, Segment

__all__ = ["fuse"]

# (first operation, second operation, whether the first's result is the second's left argument) -> the two in one
_PAIRS = {
    ("multiply", "add", True): "multiply_add",
    ("multiply", "subtract", True): "multiply_subtract",
    ("multiply", "subtract", False): "subtract_product",
    ("multiply", "multiply", True): "multiply_multiply",
    ("add", "add", True): "add_add",
    ("add", "multiply", True): "add_multiply",
    ("subtract", "multiply", True): "subtract_multiply",
}
_COMMUTES = ("add", "multiply")


def fuse(segments: list[Segment]) -> list[Segment]:
    """The segments with such pairs of float32 or float64 loops joined at the place of the second."""
    uses: dict[int, int] = {}
    for segment in segments:
        for x in segment.instructions:
            for value in x.reads:
                uses[value] = uses.get(value, 0) + 1
    return [replace(segment, instructions=_fused(segment.instructions, uses)) for segment in segments]


def _fused(instructions: tuple[Instruction, ...], uses: dict[int, int]) -> tuple[Instruction, ...]:
    kept: dict[int, Instruction] = dict(enumerate(instructions))
    firsts: dict[int, int] = {}  # a value that may be computed on the way -> where it is computed now
    for position, second in enumerate(instructions):
        if second.type not in ("f32", "f64") or second.form not in ("VV", "VS", "SV"):
            continue
        for value, other, is_left in ((second.a, second.b, True), (second.b, second.a, False)):
            first = kept[firsts[value]] if value in firsts and value != other else None
            if first is None or first.level != second.level or first.type != second.type:
                continue
            joined = _joined(first, second, other, is_left)
            if joined is not None:
                del kept[firsts.pop(value)]
                kept[position] = joined
                break
        else:
            if second.form != "SV" and uses.get(second.target) == 1 and second.op in ("multiply", "add", "subtract"):
                firsts[second.target] = position
    return tuple(kept.values())


def _joined(first: Instruction, second: Instruction, other: int, is_left: bool) -> Instruction | None:
    """Both instructions as one; `other` is the second's argument that the first does not compute."""
    op = _PAIRS.get((first.op, second.op, is_left or second.op in _COMMUTES))
    letter = second.form[1 if is_left else 0]
    if op is None or second.form[0 if is_left else 1] != "V":
        return None
    return replace(second, op=op, form=first.form[1] + letter, a=first.a, b=first.b, c=other)
