"""`graphc inspect`: what becomes of a graph on its way to a program, as text.

The graph as it was written and after the passes, the kernels of its groups, the plan, and the memory that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.api import build_graph, compile
from graphc.commands.target import Target
from graphc.dsl.naming import named_text
from graphc.ir.graph import Graph
from graphc.pipeline import optimise
from graphc.plan.format import to_json
from graphc.runtime.program import Program

__all__ = ["SECTIONS", "inspect"]

SECTIONS: dict[str, tuple[str, Callable[[Graph, Program], str]]] = {
    "graph": ("the graph as it was written", lambda graph, program: _readable(graph)),
    "optimised": ("the graph after the passes", lambda graph, program: _readable(optimise(graph))),
    "kernels": ("the loop nests of the fused groups", lambda graph, program: program.source),
    "plan": ("buffers and launches", lambda graph, program: str(program.plan or "")),
    "memory": ("bytes by purpose", lambda graph, program: str(program.memory)),
    "json": ("the plan as JSON", lambda graph, program: to_json(program.plan) if program.plan else ""),
}


def inspect(target: Target, sections: Sequence[str], write: Callable[[str], None]) -> int:
    """Write the chosen sections, with headings where there are several."""
    graph, _ = build_graph(target.inputs, target.outputs, target.updates)
    program = compile(target.inputs, target.outputs, target.updates, backend="cython", **target.options)
    for position, name in enumerate(sections):
        title, text = SECTIONS[name]
        if len(sections) > 1:
            write(f"{chr(10) * (position > 0)}== {name}: {title} ==")
        write(text(graph, program).rstrip("\n"))
    return 0


def _readable(graph: Graph) -> str:
    """The graph's text with the user's lines, without the data of large constants."""
    return named_text(graph, data=False)
