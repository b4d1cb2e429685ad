"""How rewrite passes run: rules by op, applied bottom-up in sweeps until nothing changes.

A rule takes a node and answers with a node of the same type to use instead, or None where it does not apply. A sweep
visits each node once, inputs first, and applies the rules of its op until none does; so it takes linear time. What a
rule builds under its answer is visited in the next sweep; where nothing changed in a node or under it, no sweep comes
again. Dead code needs no pass: what no result needs is not in `Graph.nodes`; nor do common subexpressions, which
interning merges.

What rules and passes do is stated in `Rewrite` records beside them: docs/rewrites.md is made of these (`table.py`), and
each is a case of the tests.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.errors import InternalError
from graphc.ir.graph import Graph, topological
from graphc.ir.node import Node, inherit_location, next_serial, remade
from graphc.ops.record import FLOAT
from graphc.ops.tensor import Tensor

__all__ = ["Keeps", "Rewrite", "Rule", "Rulebook", "Rules", "merged", "rebuilt", "rewrite", "same_results"]

Rule = Callable[[Tensor], Tensor | None]
Rules = Mapping[str, Sequence[Rule]]

_MOST_SWEEPS = 12
_MOST_STEPS = 16  # rules applied in a row at one node


class Keeps(enum.Enum):
    """What a rewrite leaves as it was. The sign and payload of a NaN are always left open, as in IEEE 754."""

    BITS = "every bit"
    ZEROS = "every bit but the sign of a zero"
    ROUNDING = "all but rounding: numbers are combined in another order, or rounded less often"
    REAL = "the real number: where one side overflows, cancels or divides by 0 on the way, the other may not"


@dataclass(frozen=True, eq=False)
class Rewrite:
    """An equation that a rule or a pass carries out from left to right.

    `example` builds the left side of inputs that it asks for by name (`table.INPUTS`), of each of `dtypes`; `where`
    says what more must hold. `differs` gives elements of its inputs, repeated, for which the two sides
    differ by more than rounding; a rewrite that keeps no more than the real number has some.
    """

    left: str
    right: str
    keeps: Keeps
    example: Callable[..., Tensor]
    where: str = ""
    dtypes: tuple[str, ...] = FLOAT
    differs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


class Rulebook:
    """The rules of a module by op, and what they do: `@BOOK.rule("add", Rewrite(...), ...)` stands above each."""

    def __init__(self) -> None:
        self.rules: dict[str, tuple[Rule, ...]] = {}
        self.rewrites: dict[Rewrite, Rules] = {}  # each with the rule that carries it out

    def rule(self, ops: str | Iterable[str], first: Rewrite, *others: Rewrite) -> Callable[[Rule], Rule]:
        """Put the decorated function behind the rules for `ops`."""

        def declare(rule: Rule) -> Rule:
            names = (ops,) if isinstance(ops, str) else tuple(ops)
            self.rules.update({op: (*self.rules.get(op, ()), rule) for op in names})
            self.rewrites.update({rewrite: dict.fromkeys(names, (rule,)) for rewrite in (first, *others)})
            return rule

        return declare


def merged(*tables: Rules) -> dict[str, tuple[Rule, ...]]:
    """One table with the rules of all, in order."""
    ops = dict.fromkeys(op for table in tables for op in table)
    return {op: tuple(rule for table in tables for rule in table.get(op, ())) for op in ops}


def rebuilt(node: Node, inputs: tuple[Node, ...]) -> Tensor:
    """`node` over other inputs of the same types; the node itself where they are its own. Keeps the user's line."""
    return remade(node, inputs)  # type: ignore[return-value]


def rewrite(graph: Graph, rules: Rules, settled: set[Node] | None = None) -> Graph:
    """`graph` with `rules` applied until nothing changes (at most a fixed number of sweeps).

    `settled` holds nodes to which no rule applies; more are added. Nodes are immutable: none ever will.
    """
    settled = set() if settled is None else settled
    done: set[Node] = set()  # settled nodes above nothing but settled ones: no sweep changes them any more
    results = graph.results
    for _ in range(_MOST_SWEEPS):
        swept = _sweep(results, rules, settled, done)
        if same_results(swept, results):
            break
        results = swept
    return graph if same_results(results, graph.results) else graph.with_results(results)


def _sweep(results: Sequence[Node], rules: Rules, settled: set[Node], done: set[Node]) -> tuple[Node, ...]:
    """`results` after one visit to each node that is not `done`, inputs first."""
    new: dict[Node, Node] = {}  # what has changed
    for old in topological(results, done):
        changed = not new.keys().isdisjoint(old.inputs)
        node = rebuilt(old, tuple([new.get(source, source) for source in old.inputs])) if changed else old
        if node.op in rules and node not in settled:
            node = _apply(rules, node, settled)  # type: ignore[arg-type]
        if node is not old:
            new[old] = node
        if (node in settled or node.op not in rules) and done.issuperset(node.inputs):
            done.add(node)
    return tuple([new.get(result, result) for result in results])


def same_results(a: Iterable[Node], b: Iterable[Node]) -> bool:
    """Whether two graphs compute the very same nodes (`==` on tensors builds a comparison)."""
    return all(x is y for x, y in zip(a, b, strict=True))


def _apply(rules: Rules, node: Tensor, settled: set[Node]) -> Tensor:
    since, original = next_serial(), node
    for _ in range(_MOST_STEPS):
        replacement = _first(rules, node)
        if replacement is None:
            settled.add(node)
            break
        node = replacement
    if node is not original:
        inherit_location([node], since, original.location)
    return node


def _first(rules: Rules, node: Tensor) -> Tensor | None:
    """What the first rule that applies makes of `node`."""
    for rule in rules.get(node.op, ()):
        new = rule(node)
        if new is None or new is node:
            continue
        if new.type != node.type:
            raise InternalError(f"rewrite rule {rule.__module__}.{rule.__name__} made {new!r} of {node!r}")
        return new
    return None
