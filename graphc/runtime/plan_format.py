"""Plans outside the process: `to_json` and `from_json`, which lose nothing, and `plan_text` for people.

Reading is strict: an unknown version, a missing, extra or wrongly typed field is a FormatError that names it. A plan
that was read is data, not trusted to be right: `verify` decides that.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TypeVar, get_type_hints

from graphc.errors import FormatError
from graphc.runtime.memory_report import bytes_text
from graphc.runtime.plan import Buffer, Launch, Plan, Ref

__all__ = ["VERSION", "from_json", "plan_text", "to_json"]

VERSION = 3
_INTEGERS = frozenset((int,))
_HINTS: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in (Buffer, Launch, Plan, Ref)}
Record = TypeVar("Record", Buffer, Launch, Plan, Ref)


def to_json(plan: Plan) -> str:
    """The plan as JSON. `from_json` gives an equal plan back."""
    return json.dumps({"format": "graphc-plan", "version": VERSION, **asdict(plan)}, separators=(",", ":"))


def from_json(text: str) -> Plan:
    """The plan that `to_json` wrote. Raises FormatError."""
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"a plan is JSON; this text is not: {error}") from None
    if not isinstance(data, dict) or data.pop("format", None) != "graphc-plan":
        raise FormatError("this JSON is not a plan: it has no field format = graphc-plan")
    version = data.pop("version", None)
    if version != VERSION:
        raise FormatError(f"the plan has version {version!r}; this graphc reads version {VERSION}")
    return _record(Plan, data, "plan")


def _record(kind: type[Record], data: Any, where: str) -> Record:
    if not isinstance(data, dict):
        raise FormatError(f"{where} must be an object, not {type(data).__name__}")
    hints = _HINTS[kind]
    if data.keys() != hints.keys():
        raise FormatError(f"{where} has the wrong fields: {', '.join(sorted(data.keys() ^ hints.keys()))}")
    return kind(**{name: _value(hint, data[name], where, name) for name, hint in hints.items()})


def _value(hint: Any, data: Any, where: str, name: Any) -> Any:
    """`data`, the part `name` of `where`, as a value of type `hint`: an int, a str, a record, or a tuple of these."""
    if hint is int or hint is str:
        if type(data) is not hint:
            raise FormatError(f"{_within(where, name)} must be of type {hint.__name__}, not {type(data).__name__}")
        return data
    if hint in (Buffer, Launch, Ref):
        return _record(hint, data, _within(where, name))
    where = _within(where, name)
    if not isinstance(data, list):
        raise FormatError(f"{where} must be a list, not {type(data).__name__}")
    kinds = hint.__args__
    if kinds[-1] is Ellipsis:
        if kinds[0] is int and _INTEGERS.issuperset(map(type, data)):
            return tuple(data)
        kinds = (kinds[0],) * len(data)
    if len(kinds) != len(data):
        raise FormatError(f"{where} must have {len(kinds)} entries, not {len(data)}")
    return tuple([_value(kind, item, where, i) for i, (kind, item) in enumerate(zip(kinds, data, strict=True))])


def _within(where: str, name: Any) -> str:
    return f"{where}[{name}]" if isinstance(name, int) else f"{where}.{name}"


def plan_text(plan: Plan) -> str:
    """The plan for people: a line for each buffer and each launch, sizes at the top.

    A launch reads `writes <- kernel(reads) after depends`; buffers are written `%number`.
    """
    head = (
        f"plan: {len(plan.launches)} launches, {len(plan.buffers)} buffers, {len(plan.programs)} tile programs; "
        f"arena {bytes_text(plan.arena_bytes)} (lower bound {bytes_text(plan.lower_bound)}), "
        f"scratch {bytes_text(plan.scratch_bytes)} a thread"
    )
    lines = [head, "buffers:"]
    lines += [f"  {_buffer_text(position, buffer)}" for position, buffer in enumerate(plan.buffers)]
    lines.append("launches:")
    lines += [f"  {_launch_text(position, launch)}" for position, launch in enumerate(plan.launches)]
    return "\n".join(lines)


def _buffer_text(position: int, buffer: Buffer) -> str:
    shape = f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
    place = buffer.space
    if buffer.space == "arena":
        place += f" {buffer.offset}..{buffer.offset + buffer.nbytes} during {buffer.first}..{buffer.last}"
    return f"%{position} {buffer.name}: {shape} {place}"


def _launch_text(position: int, launch: Launch) -> str:
    writes = ", ".join(f"%{index}" for index in launch.writes)
    reads = ", ".join(f"%{index}" for index in launch.reads)
    kernel = launch.kernel + (f" #{launch.program}" if launch.program >= 0 else "")
    notes = [f"tiles {launch.tiles}"] if launch.tiles != 1 else []
    notes += [f"after {', '.join(map(str, launch.depends))}"] if launch.depends else []
    notes += ["in place " + ", ".join(f"%{a}->%{b}" for a, b in launch.in_place)] if launch.in_place else []
    notes += [f"repeats {launch.repeats}"] if launch.repeats >= 0 else []
    return f"{position}: {writes} <- {kernel}({reads})  {launch.label}" + (f"  [{'; '.join(notes)}]" if notes else "")
