"""Interned, immutable nodes: `(op, inputs, attributes, type)`.

Building the same node twice gives the same object, so equality is identity and common subexpressions merge as
they are built. Attributes are keyed by type and value, floats by their bits: `0.0` and `-0.0`, `1` and `True` stay
apart. `location` (the user's line) is kept beside the node, outside its identity. `serial` grows with every new
node, so an input always has a smaller serial than its consumers. The table holds nodes weakly.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from graphc.errors import InternalError
from graphc.ir.fresh import Fresh
from graphc.ir.location import Location
from graphc.ir.types import DType, TensorType, TupleType, dtype_of

__all__ = [
    "Attribute",
    "Literal",
    "Node",
    "Results",
    "Type",
    "attribute_key",
    "inherit_location",
    "intern",
    "is_interned",
    "next_serial",
    "remade",
]


class Attribute:
    """A kind of attribute of its own: immutable, hashable, and equal to what holds the same."""

    __slots__ = ()


class Literal(Attribute):
    """An immutable array as an attribute: compared by dtype, shape and bits. `array` is read-only."""

    __slots__ = ("array", "digest", "type")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        owned = np.array(array, order="C", copy=True)
        owned.flags.writeable = False
        self.array = owned
        self.type = TensorType(dtype_of(owned.dtype), owned.shape)
        head = f"{self.type.dtype.name}{owned.shape}".encode()
        data = owned.tobytes()
        self.digest = head + (data if len(data) <= 64 else hashlib.sha256(data).digest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Literal({self.array.dtype.name}{list(self.array.shape)})"


class Node:
    """One value of a tensor graph. Built by `intern` alone; never changed afterwards (but for its location)."""

    __slots__ = ("__weakref__", "attrs", "inputs", "location", "op", "serial", "type")

    op: str
    inputs: tuple[Node, ...]
    attrs: Mapping[str, Any]
    type: TensorType
    serial: int
    location: Location | None

    @property
    def elements(self) -> int:
        """Number of elements, of all results together."""
        return self.type.size

    @property
    def has_floats(self) -> bool:
        """Whether the result, or one of several, is of a floating dtype."""
        return self.type.dtype.is_float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    @property
    def size(self) -> int:
        return self.type.size

    def __copy__(self) -> Node:
        return self

    def __deepcopy__(self, memo: Any) -> Node:
        return self


class Results(Node):
    """A node of several results, whose type is a `TupleType`. Only its parts are read: nodes of the op "part"."""

    __slots__ = ()

    type: TupleType  # type: ignore[assignment]

    @property
    def elements(self) -> int:
        return sum(part.size for part in self.type.parts)

    @property
    def has_floats(self) -> bool:
        return any(part.dtype.is_float for part in self.type.parts)

    def __repr__(self) -> str:
        return f"<{self.op}: {self.type}>"


N = TypeVar("N", bound=Node)
Type = TensorType | TupleType

_NO_ATTRS: Mapping[str, Any] = MappingProxyType({})
_INTEGERS = frozenset((int,))


class _Entry(ref[Node]):
    """A weak reference that knows where it stands in the table. (A WeakValueDictionary takes twice as long.)"""

    __slots__ = ("key",)
    key: tuple[Any, ...]


_nodes: dict[tuple[Any, ...], _Entry] = {}
_serials = itertools.count(1)
_lock = threading.RLock()  # taken again when a node dies while another is being made


def _forget(entry: _Entry, nodes: dict[tuple[Any, ...], _Entry] = _nodes, lock: threading.RLock = _lock) -> None:
    """Take a dead node out of the table. The arguments keep what it needs alive while the interpreter shuts down."""
    with lock:
        if nodes.get(entry.key) is entry:
            del nodes[entry.key]


def attribute_key(value: Any) -> Any:
    """A hashable key that keeps apart what `==` would confuse. Raises InternalError for an unknown kind of value."""
    kind = type(value)
    if kind is float:
        return "float", struct.pack("<d", value)
    if kind in (int, bool, str, type(None)):
        return kind.__name__, value
    if kind is tuple:
        if _INTEGERS.issuperset(map(type, value)):
            return "integers", value
        return "tuple", tuple([attribute_key(item) for item in value])
    if isinstance(value, (DType, Attribute, Fresh)):
        return value
    raise InternalError(f"attribute {value!r} of type {kind.__name__} cannot be part of a node")


def intern(cls: type[N], op: str, inputs: tuple[Node, ...], attrs: dict[str, Any], type: Type) -> N:
    """The one node with these parts, made now or earlier. `attrs` is taken over, not copied."""
    key = _key(cls, op, inputs, attrs, type)
    with _lock:
        entry = _nodes.get(key)
        found = None if entry is None else entry()
        if found is not None:
            return found  # type: ignore[return-value]
        node = cls.__new__(cls)
        node.op, node.inputs, node.type = op, inputs, type  # type: ignore[assignment]
        node.attrs = MappingProxyType({name: attrs[name] for name in sorted(attrs)}) if attrs else _NO_ATTRS
        node.serial, node.location = next(_serials), None
        entry = _nodes[key] = _Entry(node, _forget)
        entry.key = key
        return node


def remade(node: N, inputs: tuple[Node, ...], attrs: Mapping[str, Any] = _NO_ATTRS) -> N:
    """`node` over other inputs, with `attrs` in place of its own: of its type, and at its user's line."""
    if not attrs and all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    new = intern(type(node), node.op, inputs, {**node.attrs, **attrs}, node.type)
    if new.location is None:
        new.location = node.location
    return new


def _key(cls: Any, op: str, inputs: tuple[Node, ...], attrs: Mapping[str, Any], type: Type) -> tuple[Any, ...]:
    values = tuple([(name, attribute_key(attrs[name])) for name in sorted(attrs)]) if attrs else ()
    kinds = (type.dtype, type.shape) if isinstance(type, TensorType) else (type,)
    return cls, op, tuple(map(id, inputs)), values, *kinds


def is_interned(node: Node) -> bool:
    """True if building the parts of `node` again would give `node`."""
    entry = _nodes.get(_key(node.__class__, node.op, node.inputs, node.attrs, node.type))
    return entry is not None and entry() is node


def next_serial() -> int:
    """A serial larger than that of every node built so far."""
    return next(_serials)


def inherit_location(results: Iterable[Node], since: int, location: Location | None) -> None:
    """Give every node under `results` that was built after serial `since` the location it was derived from."""
    pending = [node for node in results if node.serial > since]
    seen: set[Node] = set()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        node.location = location
        pending.extend(source for source in node.inputs if source.serial > since)
