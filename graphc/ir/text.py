"""The text form of a graph: stable, readable, and read back (reading.py) to the very same nodes.

    text     = "graph 1" node* "inputs" refs "outputs" refs ("names" strings)? ("updates" update*)? data* body*
    node     = ref "=" op "(" refs ")" ("{" name "=" value, ... "}")? ":" type
    update   = ref "<-" ref                        a parameter, and its next value
    ref      = "%" number                          refs, strings, updates and values are separated by commas
    type     = dtype "[" extent, ... "]"
    value    = int | float | "true" | "false" | "none" | string | dtype | tuple | serial | literal | "&" number
    tuple    = "(" value, ... ")"                  a comma may follow the last value, as in "(3,)"
    float    = Python's repr; "nan:" and hexadecimal bits for a NaN other than NumPy's
    string   = as in JSON, ASCII only
    serial   = "@" number                          an attribute called "uid", or a fresh one; see below
    literal  = type "{" element, ... "}"           up to 16 elements, row-major
             | type "$" number                     more: a reference to
    data     = "$" number "=" string               the elements as base64 of little-endian bytes
    body     = "body" "&" number                   and a text, indented by two blanks: what a value "&" refers to

One statement stands on a line; `#` starts a comment (the user's line). Nodes are numbered in topological order from
the graph's inputs, results and parameters, so the text depends on structure alone. What is of this process alone, a
"uid", which keeps parameters apart, and a fresh attribute, which has no number yet (fresh.py), is numbered in order of
appearance; `serials` gives what the numbers stand for.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from graphc.errors import InternalError
from graphc.ir.body import Body
from graphc.ir.fresh import Fresh
from graphc.ir.graph import Graph, topological
from graphc.ir.node import Literal, Node
from graphc.ir.types import DType

__all__ = [
    "INDENT",
    "INLINE_ELEMENTS",
    "MAX_DEPTH",
    "Serial",
    "body_of",
    "element_bits",
    "graph_text",
    "node_text",
    "ordered_nodes",
    "serials",
]  # fmt: skip

INLINE_ELEMENTS = 16
Serial = int | Fresh  # what is of this process alone
_NO_NAMES: Mapping[Node, str] = {}
MAX_DEPTH = 32  # of tuples in tuples, and of bodies in bodies, lest reading a hostile text exhausts the stack
INDENT = "  "


def graph_text(
    graph: Graph, *, locations: bool = False, data: bool = True, names: Mapping[Node, str] = _NO_NAMES
) -> str:
    """`graph` as text. `locations` adds the user's lines as comments. `data=False` leaves out the elements of large
    constants, and `names` calls parameters other than they were called when they were made: texts for reading by eye
    and for comparison, which cannot be read back."""
    nodes = ordered_nodes(graph)
    numbers = {node: number for number, node in enumerate(nodes)}
    tables = _Tables()
    lines = ["graph 1", *(node_text(node, numbers, tables, locations, names.get(node)) for node in nodes)]
    lines.append(f"inputs {_refs(graph.inputs, numbers)}".rstrip())
    lines.append(f"outputs {_refs(graph.outputs, numbers)}".rstrip())
    if graph.names:
        lines.append(f"names {', '.join(map(json.dumps, graph.names))}")
    if graph.updates:
        pairs = (f"%{numbers[target]} <- %{numbers[value]}" for target, value in graph.updates)
        lines.append(f"updates {', '.join(pairs)}")
    if data:
        lines += [f'${number} = "{_encoded(literal)}"' for literal, number in tables.literals.items()]
    for body, number in tables.bodies.items():
        text = graph_text(body.graph, locations=locations, data=data)
        lines += [f"body &{number}", *(INDENT + line for line in text.splitlines())]
    return "\n".join(lines) + "\n"


def body_of(graph: Graph) -> Body:
    """`graph`, which has no sources but its inputs and constants, as the attribute of a node. Raises InternalError."""
    for node in graph.nodes:
        if node.op == "parameter" or any(_is_serial(*item) for item in node.attrs.items()):
            raise InternalError(f"{node!r} cannot be part of a body: it is of this process alone")
    return Body(graph, graph_text(graph))


def ordered_nodes(graph: Graph) -> list[Node]:
    """All nodes of `graph` in the order of its text, inputs and parameters that nothing reads included."""
    return topological((*graph.inputs, *graph.results, *(target for target, _ in graph.updates)))


def serials(graph: Graph) -> list[Serial]:
    """What the numbers behind `@` in the text of `graph` stand for in this process."""
    items = (item for node in ordered_nodes(graph) for item in node.attrs.items())
    return list(dict.fromkeys(value for name, value in items if _is_serial(name, value)))


def _is_serial(name: str, value: Any) -> bool:
    return type(value) is Fresh or (name == "uid" and type(value) is int)


class _Tables:
    """Large literals, bodies and serials, numbered as they come up."""

    def __init__(self) -> None:
        self.literals: dict[Literal, int] = {}
        self.bodies: dict[Body, int] = {}
        self.serials: dict[Serial, int] = {}


def node_text(
    node: Node, numbers: dict[Node, int], tables: Any = None, locations: bool = False, called: str | None = None
) -> str:
    """The line of one node, with refs from `numbers` ("?" for a node that is not among them)."""
    tables = _Tables() if tables is None else tables
    items = node.attrs.items() if called is None else {**node.attrs, "name": called}.items()
    attrs = ", ".join(f"{name}={_attribute(name, value, tables)}" for name, value in items)
    line = f"%{numbers.get(node, '?')} = {node.op}({_refs(node.inputs, numbers)})"
    line += (f" {{{attrs}}}" if attrs else "") + f" : {node.type}"
    if locations and node.location is not None:
        filename, number, function = node.location
        comment = f"  # {filename}:{number} in {function}"
        line += comment if comment.isprintable() else "".join(c if c.isprintable() else "?" for c in comment)
    return line


def _refs(nodes: Iterable[Node], numbers: dict[Node, int]) -> str:
    return ", ".join(f"%{numbers.get(node, '?')}" for node in nodes)


def _attribute(name: str, value: Any, tables: _Tables) -> str:
    if _is_serial(name, value):
        return f"@{tables.serials.setdefault(value, len(tables.serials))}"
    return _value(value, tables)


_CONSTANTS = {True: "true", False: "false", None: "none"}


def _value(value: Any, tables: _Tables) -> str:
    if value is None or type(value) is bool:
        return _CONSTANTS[value]
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return _float(np.float64(value))
    if type(value) is str:
        return json.dumps(value)
    if isinstance(value, DType):
        return value.name
    if isinstance(value, Literal):
        return _literal(value, tables)
    if isinstance(value, Body):
        return f"&{tables.bodies.setdefault(value, len(tables.bodies))}"
    if type(value) is tuple:
        return f"({', '.join(_value(item, tables) for item in value)}{',' * (len(value) == 1)})"
    raise InternalError(f"attribute {value!r} of type {type(value).__name__} has no text form")


def element_bits(dtype: DType) -> np.dtype[Any]:
    """The unsigned integer as wide as an element of `dtype`."""
    return np.dtype(f"u{dtype.itemsize}")


def _float(value: Any) -> str:
    """The shortest text that gives back the bits of a NumPy float scalar of any width."""
    array = np.asarray(value)
    bits = array.view(f"u{array.itemsize}")
    if np.isnan(float(value)):
        usual = bits == np.asarray(np.nan, array.dtype).view(bits.dtype)
        return "nan" if usual else f"nan:{int(bits):0{2 * array.itemsize}x}"
    short = repr(float(str(value)))
    same = np.asarray(float(short)).astype(array.dtype).view(bits.dtype) == bits
    return short if same else repr(float(value))


def _literal(literal: Literal, tables: _Tables) -> str:
    array, kind = literal.array, literal.type
    if array.size > INLINE_ELEMENTS:
        return f"{kind}${tables.literals.setdefault(literal, len(tables.literals))}"
    if kind.dtype.is_float:
        elements = [_float(value) for value in array.reshape(-1)]
    elif kind.dtype.kind == "bool":
        elements = [_CONSTANTS[bool(value)] for value in array.reshape(-1)]
    else:
        elements = [str(int(value)) for value in array.reshape(-1)]
    return f"{kind}{{{', '.join(elements)}}}"


def _encoded(literal: Literal) -> str:
    array = literal.array.view(element_bits(literal.type.dtype))
    little = array if sys.byteorder == "little" else array.byteswap()
    return base64.b64encode(little.tobytes()).decode("ascii")
