"""The text form of a graph: stable, readable, and read back to the very same nodes.

    text     = "graph 1" node* "inputs" refs "outputs" refs ("names" strings)? ("updates" update*)? data*
    node     = ref "=" op "(" refs ")" ("{" name "=" value, ... "}")? ":" type
    update   = ref "<-" ref                        a parameter, and its next value
    ref      = "%" number                          refs, strings, updates and values are separated by commas
    type     = dtype "[" extent, ... "]"
    value    = int | float | "true" | "false" | "none" | string | dtype | tuple | serial | literal
    tuple    = "(" value, ... ")"                  a comma may follow the last value, as in "(3,)"
    float    = Python's repr; "nan:" and hexadecimal bits for a NaN other than NumPy's
    string   = as in JSON, ASCII only
    serial   = "@" number                          an attribute called "uid", or a fresh one; see below
    literal  = type "{" element, ... "}"           up to 16 elements, row-major
             | type "$" number                     more: a reference to
    data     = "$" number "=" string               the elements as base64 of little-endian bytes

One statement stands on a line; `#` starts a comment (the user's line). Nodes are numbered in topological order from
the graph's inputs, results and parameters, so the text depends on structure alone. What is of this process alone, a
"uid", which keeps parameters apart, and a fresh attribute, which has no number yet (fresh.py), is numbered in order of
appearance; `serials` gives what the numbers stand for.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import FormatError, GraphcError, InternalError
from graphc.ir.fresh import Fresh
from graphc.ir.graph import Graph, topological
from graphc.ir.node import Literal, Node
from graphc.ir.tokens import Tokens
from graphc.ir.types import DTYPES, DType, TensorType, TupleType

__all__ = ["INLINE_ELEMENTS", "MAX_DEPTH", "graph_text", "node_text", "ordered_nodes", "parse_graph", "serials"]

INLINE_ELEMENTS = 16
Serial = int | Fresh  # what is of this process alone
_NO_NAMES: Mapping[Node, str] = {}
MAX_DEPTH = 32  # of tuples in tuples, so that reading a hostile text cannot exhaust the stack


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
    return "\n".join(lines) + "\n"


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
    """Large literals and serials, numbered as they come up."""

    def __init__(self) -> None:
        self.literals: dict[Literal, int] = {}
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


# Reading -----------------------------------------------------------------------------------------------------------
def parse_graph(text: str, build: Callable[..., Node], serials: Sequence[Serial] = ()) -> Graph:
    """The graph that `text` describes, made of the same nodes as the graph that it was written from.

    `build(op, inputs, attributes)` makes a node (`graphc.ops.build.build_node`); its type must be the one stated.
    `serials` says what the numbers behind `@` stand for (`serials(graph)` of the graph that was written).

    Raises FormatError, which names the line.
    """
    reader = _Reader(build, serials)
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("$"):
            reader.read_data(number, line)
    for number, line in enumerate(text.splitlines(), 1):
        tokens = Tokens(number, line)
        if not line.startswith("$") and tokens.kind != "end":
            reader.read_statement(tokens)
            tokens.expect_end()
    return reader.graph()


class _Reader:
    """What has been read so far."""

    def __init__(self, build: Callable[..., Node], serials: Sequence[Serial]) -> None:
        self.build, self.serials = build, serials
        self.data: dict[str, bytes] = {}
        self.nodes: dict[str, Node] = {}
        self.parts: dict[str, tuple[Any, ...]] = {}
        self.versioned = False

    def read_data(self, number: int, line: str) -> None:
        name, separator, rest = line.partition(' = "')
        try:
            if not separator or not rest.endswith('"') or name in self.data:
                raise ValueError
            self.data[name] = base64.b64decode(rest[:-1], validate=True)
        except ValueError:
            raise FormatError(f"line {number} of a graph's text is no data line, or a second {name[:20]}") from None

    def read_statement(self, tokens: Tokens) -> None:
        if not self.versioned:
            tokens.expect("graph")
            tokens.expect("1")
            self.versioned = True
        elif tokens.kind == "ref":
            self.read_node(tokens)
        else:
            self.read_part(tokens)

    def read_part(self, tokens: Tokens) -> None:
        name = tokens.take("name")
        readers = {"names": lambda: self.string(tokens), "updates": lambda: self.update(tokens)}
        if name not in ("inputs", "outputs", "names", "updates") or name in self.parts:
            raise tokens.error(f"starts with an unknown or repeated word {name!r}")
        self.parts[name] = tuple(tokens.several(readers.get(name, lambda: self.ref(tokens)), ""))

    def graph(self) -> Graph:
        missing = [name for name in ("inputs", "outputs") if name not in self.parts]
        if missing:
            raise FormatError(f"a graph's text has no {' and no '.join(missing)}")
        parts = [self.parts.get(name, ()) for name in ("inputs", "outputs", "updates", "names")]
        return Graph(*parts)

    def read_node(self, tokens: Tokens) -> None:
        name = tokens.take("ref")
        if name in self.nodes:
            raise tokens.error(f"defines {name} again")
        tokens.expect("=")
        op = tokens.take("name")
        tokens.expect("(")
        inputs = tuple(tokens.several(lambda: self.ref(tokens), ")"))
        pairs = tokens.several(lambda: self.attribute(tokens), "}") if tokens.accept("{") else []
        attrs = dict(pairs)
        if len(attrs) != len(pairs):
            raise tokens.error("has an attribute twice")
        tokens.expect(":")
        stated = self.types(tokens)
        try:
            node = self.build(op, inputs, attrs)
        except GraphcError as error:
            raise tokens.error(f"describes no node ({error})") from error
        if node.type != stated:
            raise tokens.error(f"states the type {stated} of what is {node.type}")
        self.nodes[name] = node

    # Parts of a line -----------------------------------------------------------------------------------------------
    def ref(self, tokens: Tokens) -> Node:
        name = tokens.take("ref")
        if name not in self.nodes:
            raise tokens.error(f"uses {name} before it is defined")
        return self.nodes[name]

    def update(self, tokens: Tokens) -> tuple[Node, Node]:
        target = self.ref(tokens)
        tokens.expect("<-")
        return target, self.ref(tokens)

    def string(self, tokens: Tokens) -> str:
        text = tokens.take("string")
        try:
            return str(json.loads(text))
        except ValueError:
            raise tokens.error(f"has a malformed string {text}") from None

    def attribute(self, tokens: Tokens) -> tuple[str, Any]:
        name = tokens.take("name")
        tokens.expect("=")
        return name, self.value(tokens)

    def value(self, tokens: Tokens, depth: int = 0) -> Any:
        if not tokens.accept("("):
            return self.scalar(tokens)
        if depth == MAX_DEPTH:
            raise tokens.error(f"nests tuples more than {MAX_DEPTH} deep")
        return tuple(tokens.several(lambda: self.value(tokens, depth + 1), ")"))

    def scalar(self, tokens: Tokens) -> Any:
        kind, text = tokens.kind, tokens.text
        if kind == "string":
            return self.string(tokens)
        if kind == "number":
            return tokens.integer() if text.lstrip("-").isdigit() else float(tokens.take("number"))
        if kind == "nan":
            return float(self.elements(tokens, [tokens.take("nan")], DTYPES["float64"])[0])
        if kind == "serial":
            return self.serial(tokens)
        word = tokens.take("name")
        if word in _WORDS:
            return _WORDS[word]
        if word not in DTYPES:
            raise tokens.error(f"has an unknown word {word!r}")
        return self.literal(tokens, DTYPES[word]) if tokens.text == "[" else DTYPES[word]

    def serial(self, tokens: Tokens) -> Serial:
        name = tokens.take("serial")
        if len(name) > 10 or int(name[1:]) >= len(self.serials):
            raise tokens.error(f"refers to serial {name}, but {len(self.serials)} serial(s) were given")
        return self.serials[int(name[1:])]

    def types(self, tokens: Tokens) -> TensorType | TupleType:
        """The type of a node, which may have several results."""
        if tokens.accept("("):
            return TupleType(tuple(tokens.several(lambda: self.type(tokens), ")")))
        return self.type(tokens)

    def type(self, tokens: Tokens) -> TensorType:
        word = tokens.take("name")
        if word not in DTYPES:
            raise tokens.error(f"has {word!r} where a dtype should stand")
        return TensorType(DTYPES[word], self.shape(tokens))

    def shape(self, tokens: Tokens) -> tuple[int, ...]:
        tokens.expect("[")
        shape = tuple(tokens.several(tokens.integer, "]"))
        if min(shape, default=0) < 0:
            raise tokens.error(f"has a negative extent in {shape}")
        return shape

    def literal(self, tokens: Tokens, dtype: DType) -> Literal:
        type = TensorType(dtype, self.shape(tokens))
        if tokens.kind == "data":
            data = self.data.get(tokens.take("data"))
            if data is None or len(data) != type.nbytes:
                raise tokens.error(f"has a constant {type} whose data is missing or of another size")
            bits = np.frombuffer(data, element_bits(dtype).newbyteorder("<")).astype(element_bits(dtype))
            return Literal(bits.view(dtype.numpy).reshape(type.shape))
        tokens.expect("{")
        texts = tokens.several(lambda: self.element(tokens), "}")
        if len(texts) != type.size:
            raise tokens.error(f"has {len(texts)} element(s) for a constant {type}")
        return Literal(self.elements(tokens, texts, dtype).reshape(type.shape))

    def element(self, tokens: Tokens) -> str:
        return tokens.take(tokens.kind if tokens.kind in ("nan", "name") else "number")

    def elements(self, tokens: Tokens, texts: list[str], dtype: DType) -> np.ndarray[Any, Any]:
        """The elements with exactly these texts; the bits of NaNs are taken literally."""
        array = np.zeros(len(texts), dtype.numpy)
        bits = array.view(element_bits(dtype))
        try:
            for position, text in enumerate(texts):
                if text.startswith("nan:"):
                    bits[position] = int(text[4:], 16)
                elif dtype.kind == "bool":
                    array[position] = {"true": True, "false": False}[text]
                else:
                    array[position] = float(text) if dtype.is_float else int(text)
        except (ValueError, OverflowError, KeyError):
            raise tokens.error(f"has {text!r} where a {dtype} should stand") from None
        return array


_WORDS = {"true": True, "false": False, "none": None}
