"""Plans outside the process: `to_json` and `from_json`, which lose nothing.

Reading is strict: an unknown version, a missing, extra or wrongly typed field is a FormatError that names it. A plan
that was read is data, not trusted to be right: `verified` decides whether it keeps its own rules, and `plan_digest`,
which is compiled into a program's library, whether it is the plan of that library.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from operator import attrgetter
from reprlib import repr as shown
from types import GenericAlias
from typing import Any, NewType, TypeVar, get_args, get_type_hints

from graphc.errors import FormatError, InternalError
from graphc.ir.ranges import IndexRange
from graphc.plan.plan import Buffer, Launch, Loop, Plan, Ref, Slice
from graphc.plan.verify import verify

__all__ = ["VERSION", "from_json", "parsed", "plan_digest", "plan_of", "to_json", "verified"]

VERSION = 9
_LARGEST = 1 << 63  # beyond what an int64 holds
_INTEGERS = frozenset((int,))
_KINDS = (Buffer, IndexRange, Launch, Loop, Plan, Ref, Slice)
Record = TypeVar("Record", Buffer, IndexRange, Launch, Loop, Plan, Ref, Slice)


def _plain(hint: Any) -> Any:
    """A type as files know it: their numbers are integers, whatever they number."""
    if isinstance(hint, NewType):
        return _plain(hint.__supertype__)
    kinds = tuple(map(_plain, get_args(hint)))
    return GenericAlias(tuple, kinds) if kinds else hint


_HINTS: dict[type, dict[str, Any]] = {
    kind: {name: _plain(hint) for name, hint in get_type_hints(kind).items()} for kind in _KINDS
}


def to_json(plan: Plan) -> str:
    """The plan as JSON. `from_json` gives an equal plan back."""
    facts = {"format": "graphc-plan", "version": VERSION, **vars(plan)}
    return json.dumps(facts, separators=(",", ":"), default=vars)  # of the records, which hold their fields alone


def from_json(text: str) -> Plan:
    """The plan that `to_json` wrote. Raises FormatError."""
    return plan_of(parsed(text, "a plan"))


def parsed(text: str | bytes, what: str) -> Any:
    """What a JSON text says. Raises FormatError, in which `what` it should have been."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is JSON; this text is not: {error}") from None


def plan_of(data: Any) -> Plan:
    """The plan that JSON holds as an object. Raises FormatError."""
    if not isinstance(data, dict) or data.get("format") != "graphc-plan":
        raise FormatError("this JSON is not a plan: it has no field format = graphc-plan")
    if data.get("version") != VERSION:
        raise FormatError(f"the plan has version {shown(data.get('version'))}; this graphc reads version {VERSION}")
    return _record(Plan, {name: data[name] for name in data if name not in ("format", "version")}, "plan")


def verified(plan: Plan) -> Plan:
    """`plan`, which was read from somewhere, if it keeps the rules of plans. Raises FormatError."""
    try:
        return verify(plan)
    except InternalError as error:
        raise FormatError(f"this plan was not made by graphc, or was changed since\n{error}") from None


def plan_digest(plan: Plan) -> str:
    """The hash of all that code, callers and files rely on, as 64 hexadecimal digits.

    That is everything but the user's lines and which parameters are trained: what is said of those changes no result.
    """
    apart = ("buffers", "launches", "loops", "ranges", "states")
    rest = [getattr(plan, field.name) for field in fields(Plan) if field.name not in apart]
    buffers = [_BUFFER_FACTS(buffer) for buffer in plan.buffers]
    launches = [
        (_LAUNCH_FACTS(launch), _ref_facts(launch.operands), _ref_facts(launch.program_operands))
        for launch in plan.launches
    ]
    ranges = [_RANGE_FACTS(rule) for rule in plan.ranges]
    loops = [(loop.first, loop.last, loop.count, list(map(_SLICE_FACTS, loop.slices))) for loop in plan.loops]
    return hashlib.blake2b(repr((VERSION, buffers, launches, loops, ranges, rest)).encode(), digest_size=32).hexdigest()


def _ref_facts(refs: tuple[Ref, ...]) -> list[tuple[int, int]]:
    return [(ref.buffer, ref.offset) for ref in refs]


_BUFFER_FACTS = attrgetter(*(field.name for field in fields(Buffer) if field.name != "location"))
_RANGE_FACTS = attrgetter(*(field.name for field in fields(IndexRange) if field.name != "location"))
_SLICE_FACTS = attrgetter(*(field.name for field in fields(Slice)))
_LAUNCH_FACTS = attrgetter(
    *(field.name for field in fields(Launch) if field.name not in ("location", "operands", "program_operands"))
)


def _record(kind: type[Record], data: Any, where: str) -> Record:
    if not isinstance(data, dict):
        raise FormatError(f"{where} must be an object, not {type(data).__name__}")
    hints = _HINTS[kind]
    if data.keys() != hints.keys():
        raise FormatError(f"{where} has the wrong fields: {', '.join(sorted(data.keys() ^ hints.keys()))[:200]}")
    return kind(**{name: _value(hint, data[name], where, name) for name, hint in hints.items()})


def _value(hint: Any, data: Any, where: str, name: Any) -> Any:
    """`data`, the part `name` of `where`, as a value of type `hint`: an int, a str, a record, or a tuple of these."""
    if hint is int or hint is str:
        if type(data) is not hint:
            raise FormatError(f"{_within(where, name)} must be of type {hint.__name__}, not {type(data).__name__}")
        if type(data) is int and not _is_small([data]):
            raise FormatError(f"{_within(where, name)} is a number of more than 64 bits")
        return data
    if hint in _KINDS:
        return _record(hint, data, _within(where, name))
    where = _within(where, name)
    if not isinstance(data, list):
        raise FormatError(f"{where} must be a list, not {type(data).__name__}")
    kinds = hint.__args__
    if kinds[-1] is Ellipsis:
        if kinds[0] is int and _INTEGERS.issuperset(map(type, data)) and _is_small(data):
            return tuple(data)
        kinds = (kinds[0],) * len(data)
    if len(kinds) != len(data):
        raise FormatError(f"{where} must have {len(kinds)} entries, not {len(data)}")
    return tuple([_value(kind, item, where, i) for i, (kind, item) in enumerate(zip(kinds, data, strict=True))])


def _is_small(numbers: list[int]) -> bool:
    """Whether all are numbers of 64 bits."""
    return not numbers or (min(numbers) >= -_LARGEST and max(numbers) < _LARGEST)


def _within(where: str, name: Any) -> str:
    return f"{where}[{name}]" if isinstance(name, int) else f"{where}.{name}"
