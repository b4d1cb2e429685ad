"""The layout of a program's state, in one block: what its safetensors file holds behind a header, and C programs keep.

Parameters come first, in the plan's order and by their names; then constants and the random state, by names in
parentheses. Each part starts at a multiple of ALIGNMENT.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from graphc.dsl.state_dict import SAFETENSORS_NAMES
from graphc.plan.plan import BufferNumber, Plan
from graphc.plan.state import state_keys

__all__ = ["PADDING", "RANDOM", "StateLayout", "Stored", "aligned", "layout_of"]

ALIGNMENT = 64
RANDOM = "(random)"  # the key of seed and step
PADDING = "(padding at "  # how keys start of what lies between the parts of a state


@dataclass(frozen=True)
class Stored:
    """A tensor of the state: its key in the safetensors file, its buffer in the plan, and its first byte."""

    key: str
    buffer: BufferNumber
    offset: int


@dataclass(frozen=True)
class StateLayout:
    """The parts of a plan's state, and the bytes of all."""

    plan: Plan
    parts: tuple[Stored, ...]
    nbytes: int

    @cached_property
    def file_header(self) -> bytes:
        """The header of the state's file: its length, then JSON. Gaps are tensors of their own: files have no holes."""
        entries: dict[str, Any] = {}
        end = 0
        for stored in self.parts:
            buffer = self.plan.buffers[stored.buffer]
            entries.update(_gap(end, stored.offset))
            end = stored.offset + buffer.nbytes
            entries[stored.key] = _entry(SAFETENSORS_NAMES[buffer.dtype], buffer.shape, stored.offset, end)
        entries.update(_gap(end, self.nbytes))
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % ALIGNMENT)
        return len(text).to_bytes(8, "little") + text

    def file(self, arrays: Sequence[np.ndarray[Any, Any]]) -> memoryview:
        """The safetensors file of these arrays, one for each part."""
        header = self.file_header
        data = np.zeros(len(header) + self.nbytes, np.uint8)
        data[: len(header)] = np.frombuffer(header, np.uint8)
        for stored, array in zip(self.parts, arrays, strict=True):
            start = len(header) + stored.offset
            data[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return data.data


def layout_of(plan: Plan) -> StateLayout:
    """Where everything lies that outlives the steps of a plan."""
    parts, offset = [], 0
    for key, position in _stored(plan):
        parts.append(Stored(key, position, offset))
        offset += aligned(plan.buffers[position].nbytes)
    return StateLayout(plan, tuple(parts), offset)


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _stored(plan: Plan) -> list[tuple[str, BufferNumber]]:
    """What the state holds, by key: parameters by their names, the rest by names in parentheses."""
    stored = list(state_keys(plan).items())
    stored += [(f"(constant {number})", position) for number, position in enumerate(plan.constants)]
    return stored + ([(RANDOM, plan.rng)] if plan.rng >= 0 else [])


def _gap(start: int, end: int) -> dict[str, Any]:
    return {f"{PADDING}{start})": _entry("U8", (end - start,), start, end)} if end > start else {}


def _entry(dtype: str, shape: tuple[int, ...], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
