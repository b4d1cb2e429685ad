"""The C interface of a program: what its header declares, and the layout of its state.

    NAME_open(memory, state, threads)    makes a program ready in memory of the caller
    NAME_run(program, inputs, outputs)   runs one step
    NAME_close(program)                  leaves the memory to the caller again

The state is one block: parameters, the optimiser's state, constants, the random state, in the layout of the data
section of the program's safetensors file. Tensors are called by ordinals; the user's names appear in comments only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from graphc.errors import InternalError
from graphc.runtime.plan import Buffer, Plan

__all__ = ["Interface", "Stored", "comment", "interface_of", "parameters", "prototype"]

ALIGNMENT = 64
_C_TYPES = {
    "float64": "double", "float32": "float", "bfloat16": "uint16_t", "float16": "uint16_t", "int64": "int64_t",
    "int32": "int32_t", "int8": "int8_t", "uint32": "uint32_t", "uint8": "uint8_t", "bool": "uint8_t",
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """A tensor of the state: its key in the safetensors file, its buffer in the plan, and its first byte."""

    key: str
    buffer: int
    offset: int


@dataclass(frozen=True)
class Interface:
    """`name` prefixes what the header declares. All sizes in bytes."""

    name: str
    plan: Plan
    state: tuple[Stored, ...]
    state_bytes: int

    @property
    def context_bytes(self) -> int:
        """Room for the program's own records: a bound that the C code checks when it is compiled."""
        return _aligned(1024 + 8 * len(self.plan.buffers) + 128 * max(1, len(self.plan.launches)))

    @property
    def scratch_bytes(self) -> int:
        return _aligned(max(self.plan.scratch_bytes, 1))

    def memory_bytes(self, threads: int) -> int:
        return self.context_bytes + _aligned(self.plan.arena_bytes) + threads * self.scratch_bytes


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def comment(text: str) -> str:
    """`text` for a C comment: printable ASCII, and nothing that could end it."""
    plain = "".join(c if 32 <= ord(c) < 127 else "?" for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("??", "?")


def interface_of(plan: Plan, name: str) -> Interface:
    """The interface of a plan; `name` is an identifier."""
    if not name.isidentifier() or not name.isascii():
        raise InternalError(f"interface: {name!r} is no C identifier")
    stored = [(*_keyed(plan, position), position) for position in _stored(plan)]
    # Tensors whose size keeps the next one aligned come first, the rest by element size: no gaps, all aligned.
    stored.sort(key=lambda entry: (plan.buffers[entry[2]].nbytes % ALIGNMENT != 0, -_itemsize(plan.buffers[entry[2]])))
    state, offset, taken = [], 0, set[str]()
    for base, kind, position in stored:
        key, copies = base if kind == "parameter" else f"({base})", 1
        while key in taken:
            copies += 1
            key = f"{base} ({copies})"
        taken.add(key)
        state.append(Stored(key, position, offset))
        offset += plan.buffers[position].nbytes
    return Interface(name, plan, tuple(state), _aligned(offset))


def _stored(plan: Plan) -> Iterator[int]:
    yield from plan.parameters
    yield from plan.constants
    if plan.rng >= 0:
        yield plan.rng


def _keyed(plan: Plan, position: int) -> tuple[str, str]:
    buffer = plan.buffers[position]
    return (buffer.name if buffer.space == "parameter" else buffer.space), buffer.space


def _itemsize(buffer: Buffer) -> int:
    return buffer.nbytes // max(1, math.prod(buffer.shape)) or 8


def prototype(interface: Interface) -> str:
    """The declarations, as they stand in the header and in the C file itself."""
    name, plan, upper = interface.name, interface.plan, interface.name.upper()
    labels = [_described(plan, b, i) for i, b in enumerate((*plan.inputs, *plan.outputs))]
    arguments = [f"    /* {label} */ {text}" for label, text in zip(labels, parameters(plan), strict=True)]
    offsets = [
        f"#define {upper}_STATE_{i} {stored.offset} /* {comment(stored.key)}: {_type_text(plan.buffers[stored.buffer])} */"
        for i, stored in enumerate(interface.state)
    ]
    return "\n".join(
        [
            "/* Bytes of the state: parameters, the optimiser's state, constants, random state; and where each starts. */",
            f"#define {upper}_STATE_BYTES {interface.state_bytes}",
            *offsets,
            "",
            "/* Bytes of working memory for a number of threads. Nothing else is ever allocated. */",
            f"#define {upper}_MEMORY_BYTES(threads) \\",
            f"    ({interface.memory_bytes(0)}u + (size_t)(threads) * {interface.scratch_bytes}u)",
            "",
            f"typedef struct {name} {name};",
            "",
            "/* Makes a program ready. `memory` and `state` stay the caller's, start at a multiple of 64 bytes, and are used until",
            f" * {name}_close; the state is loaded by the caller, and is what a step changes. NULL if an argument cannot be. */",
            f"{name} *{name}_open(void *memory, void *state, int threads);",
            "",
            "/* Runs one step. Steps of one program must not run at the same time. */",
            f"void {name}_run(",
            ",\n".join([f"    {name} *program", *arguments]) + ");",
            "",
            f"void {name}_close({name} *program);",
        ]
    )


def parameters(plan: Plan) -> list[str]:
    """The arguments of NAME_run after the program: inputs, then outputs."""
    inputs = [f"const {_C_TYPES[plan.buffers[b].dtype]} *input{i}" for i, b in enumerate(plan.inputs)]
    return inputs + [f"{_C_TYPES[plan.buffers[b].dtype]} *output{i}" for i, b in enumerate(plan.outputs)]


def _described(plan: Plan, buffer: int, position: int) -> str:
    label = plan.names[position] if position < len(plan.names) else plan.buffers[buffer].name
    return f"{comment(label)}: {_type_text(plan.buffers[buffer])}"


def _type_text(buffer: Buffer) -> str:
    return f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
