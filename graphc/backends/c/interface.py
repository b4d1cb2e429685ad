"""The C interface of a program: what its header declares, and the layout of its state.

    NAME_open(memory, state, threads)    makes a NAME_program ready in memory of the caller
    NAME_run(program, inputs, outputs)   runs one step
    NAME_close(program)                  leaves the memory to the caller again

The state is one block (runtime/state_layout.py). NAME may be any identifier: nothing else in the C file, its headers
and theirs, ends as what is declared here does. Tensors are called by ordinals. All of a manifest that could change what
a program computes is hashed into its library: `Interface.digest`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from graphc.backends.c.plain import plain
from graphc.errors import InternalError
from graphc.plan.format import plan_digest
from graphc.plan.plan import Buffer, BufferNumber, Plan
from graphc.runtime.state_layout import StateLayout, Stored, aligned, layout_of

__all__ = ["Interface", "functions", "interface_of", "parameters", "prototype"]

_C_TYPES = {
    "float64": "double", "float32": "float", "bfloat16": "uint16_t", "float16": "uint16_t", "int64": "int64_t",
    "int32": "int32_t", "int8": "int8_t", "uint32": "uint32_t", "uint8": "uint8_t", "bool": "uint8_t",
}  # fmt: skip

_PROTOTYPE = """\
/* The state, in one block: weights and what else the model keeps, in the order in which it defines them, which is the
 * same in every program of that model; then the optimiser's state, constants, random state. Each part starts at the
 * multiple of 64 bytes that is told here. The file {name}.safetensors is a header and the state, and nothing else: it
 * can be read as a whole, or from {upper}_HEADER_BYTES on into the state, and be written again in the same way. */
#define {upper}_HEADER_BYTES {header_bytes}
#define {upper}_STATE_BYTES {state_bytes}
{offsets}

/* Bytes of working memory for a number of threads. Nothing else is ever allocated. */
#define {upper}_MEMORY_BYTES(threads) ({memory}u + (size_t)(threads) * {scratch}u)

typedef struct {name}_program {name}_program;

/* Makes a program ready. `memory` and `state` stay the caller's, start at a multiple of 64 bytes, and are used until
 * {name}_close. The state has been loaded by the caller, and is what a step changes. NULL if an argument cannot be. */
{name}_program *{name}_open(void *memory, void *state, int threads);

/* Runs one step. Steps of one program must not run at the same time. Indices are not checked here: the caller keeps
 * to the values below, else the nearest element is taken, or a label names no class. */
void {name}_run(
{arguments});

void {name}_close({name}_program *program);"""


@dataclass(frozen=True)
class Interface:
    """`name` prefixes what the header declares; `facts` stand in the manifest beside the plan. All sizes in bytes."""

    name: str
    plan: Plan
    layout: StateLayout
    facts: tuple[tuple[str, str | int], ...] = ()

    @cached_property
    def digest(self) -> str:
        """The hash of the interface: a library holds it, and whoever loads it compares."""
        state = [(stored.key, stored.buffer, stored.offset) for stored in self.state]
        described = repr((self.name, state, self.state_bytes, self.memory_bytes(1), self.facts))
        return hashlib.blake2b((plan_digest(self.plan) + described).encode(), digest_size=32).hexdigest()

    @property
    def state(self) -> tuple[Stored, ...]:
        return self.layout.parts

    @property
    def state_bytes(self) -> int:
        return self.layout.nbytes

    @property
    def context_bytes(self) -> int:
        """Room for the program's own records: a bound that the C code checks when it is compiled."""
        return aligned(1024 + 8 * len(self.plan.buffers) + 128 * max(1, len(self.plan.launches)))

    @property
    def scratch_bytes(self) -> int:
        return aligned(max(self.plan.scratch_bytes, 1))

    def memory_bytes(self, threads: int) -> int:
        return self.context_bytes + aligned(self.plan.arena_bytes) + threads * self.scratch_bytes


def functions(name: str) -> list[str]:
    """The functions that the header of a program called `name` declares."""
    return [f"{name}_open", f"{name}_run", f"{name}_close"]


def interface_of(plan: Plan, name: str, facts: Mapping[str, str | int] | None = None) -> Interface:
    """The interface of a plan; `name` is an identifier, `facts` is what the manifest says beside the plan."""
    if not name.isidentifier() or not name.isascii():
        raise InternalError(f"interface: {name!r} is no C identifier")
    return Interface(name, plan, layout_of(plan), tuple((facts or {}).items()))


def prototype(interface: Interface) -> str:
    """The declarations, as they stand in the header and in the C file itself."""
    plan, upper = interface.plan, interface.name.upper()
    labels = [_described(plan, b, i) for i, b in enumerate((*plan.inputs, *plan.outputs))]
    arguments = [f"    /* {label} */ {text}" for label, text in zip(labels, parameters(plan), strict=True)]
    offsets = [
        f"#define {upper}_STATE_{i} {s.offset} /* {_key_text(plan, s)}: {_type_text(plan.buffers[s.buffer])} */"
        for i, s in enumerate(interface.state)
    ]
    return _PROTOTYPE.format(
        name=interface.name, upper=upper, state_bytes=interface.state_bytes,
        header_bytes=len(interface.layout.file_header), offsets="\n".join(offsets),
        memory=interface.memory_bytes(0), scratch=interface.scratch_bytes,
        arguments=",\n".join([f"    {interface.name}_program *program", *arguments]),
    )  # fmt: skip


def parameters(plan: Plan) -> list[str]:
    """The arguments of NAME_run after the program: inputs, then outputs."""
    inputs = [f"const {_C_TYPES[plan.buffers[b].dtype]} *input{i}" for i, b in enumerate(plan.inputs)]
    return inputs + [f"{_C_TYPES[plan.buffers[b].dtype]} *output{i}" for i, b in enumerate(plan.outputs)]


def _described(plan: Plan, buffer: BufferNumber, position: int) -> str:
    label = plan.names[position] if position < len(plan.names) else plan.buffers[buffer].name
    used = [rule for rule in plan.ranges if rule.input == position]
    values = "; ".join(f"{rule.low} to {rule.high - 1}" for rule in used)
    return f"{plain(label)}: {_type_text(plan.buffers[buffer])}" + (f", values {values}" if used else "")


def _key_text(plan: Plan, stored: Stored) -> str:
    """The key of a tensor of the state: the name of a parameter, and what `state_keys` adds to it, or a key of ours."""
    name = plan.buffers[stored.buffer].name if stored.buffer in plan.parameters else ""
    return plain(name) + stored.key[len(name) :] if name else stored.key


def _type_text(buffer: Buffer) -> str:
    return f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
