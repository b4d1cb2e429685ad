"""Reading the text form of a graph, whose grammar stands in text.py."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import FormatError, GraphcError
from graphc.ir.body import Body
from graphc.ir.graph import Graph
from graphc.ir.node import Literal, Node
from graphc.ir.text import INDENT, MAX_DEPTH, Serial, body_of, element_bits
from graphc.ir.tokens import Tokens
from graphc.ir.types import DTYPES, DType, TensorType, TupleType

__all__ = ["parse_graph"]


def parse_graph(text: str, build: Callable[..., Node], serials: Sequence[Serial] = (), *, depth: int = 0) -> Graph:
    """The graph that `text` describes, made of the same nodes as the graph that it was written from.

    `build(op, inputs, attributes)` makes a node (`graphc.ops.build.build_node`); its type must be the one stated.
    `serials` says what the numbers behind `@` stand for (`serials(graph)` of the graph that was written); `depth` in
    how many bodies the text stands.

    Raises FormatError, which names the line.
    """
    reader = _Reader(build, serials)
    own, bodies = _divided(text)
    for number, line in own:
        if line.startswith("$"):
            reader.read_data(number, line)
    for name, inner in bodies.items():
        if depth == MAX_DEPTH:
            raise FormatError(f"a graph's text nests bodies more than {MAX_DEPTH} deep")
        reader.bodies[name] = body_of(parse_graph(inner, build, depth=depth + 1))
    for number, line in own:
        tokens = Tokens(number, line)
        if not line.startswith("$") and tokens.kind != "end":
            reader.read_statement(tokens)
            tokens.expect_end()
    return reader.graph()


def _divided(text: str) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """The numbered lines of a text itself, and its bodies by their names. Raises FormatError."""
    own: list[tuple[int, str]] = []
    bodies: dict[str, list[str]] = {}
    inside: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is not None and line.startswith(INDENT):
            inside.append(line.removeprefix(INDENT))
            continue
        inside = None
        if line.startswith("body "):
            if line in bodies:
                raise FormatError(f"line {number} of a graph's text is a second {line[:20]}")
            inside = bodies[line] = []
        else:
            own.append((number, line))
    return own, {name.removeprefix("body "): "\n".join(lines) for name, lines in bodies.items()}


class _Reader:
    """What has been read so far."""

    def __init__(self, build: Callable[..., Node], serials: Sequence[Serial]) -> None:
        self.build, self.serials = build, serials
        self.data: dict[str, bytes] = {}
        self.bodies: dict[str, Body] = {}
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
        if kind == "body":
            name = tokens.take("body")
            if name not in self.bodies:
                raise tokens.error(f"refers to {name}, which is not there")
            return self.bodies[name]
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
