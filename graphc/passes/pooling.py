"""Pooling in a training step: rectified after pooling, and summed without being spread.

With r = relu(z), whose gradient reads r only to ask where it is positive, p = max_pool2d and a = max_pool2d_argmax, the
first two rewrites leave relu and its gradient a part of the elements, and r need not be kept. They are exact: relu is
monotone and passes NaN on. A window whose maximum is positive (or NaN) has it in the same place, the first of its ties,
in r and in z. Any other window may find another place, but whatever it sends there is a place of r that is not
positive, so `where` drops it on the left, and the window is dropped as a whole on the right. The sign of a zero may
differ. A sum over planes adds the same numbers in another order. A maximum that is searched for the gradient anyway is
still taken by `max_pool2d` for the value: that reads as much and goes by vectors, which gathering does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from graphc.ir.graph import Graph, consumers, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply, full_like
from graphc.ops.primitives.arithmetic import constant_scalar
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt

__all__ = ["EARLY_SUMS", "LATE_RELU", "pool_before_relu", "sum_before_scatter"]

_WINDOW: dict[str, Any] = {"window": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}


def _pooled(p: Tensor) -> Tensor:
    """Maxima of rectified planes, each in the place where it was found by what the gradient of the maxima does."""
    r = apply("relu", p)
    found = apply("max_pool2d_argmax", r, **_WINDOW)
    spread = apply("max_pool2d_scatter", apply("max_pool2d", r, **_WINDOW), found, size=p.shape[2:])
    return apply("where", apply("greater", r, full_like(r, 0)), spread, full_like(r, 0))


LATE_RELU = (
    Rewrite("p(r)", "relu(p(z))", Keeps.ZEROS, _pooled, "r = relu(z) is read by nothing else but the next"),
    Rewrite(
        "where(r > 0, scatter(g, a(r)), 0)",
        "scatter(where(relu(p(z)) > 0, g, 0), a(z))",
        Keeps.ZEROS,
        _pooled,
        "a tells where a pooling p has found its maxima",
    ),
)
EARLY_SUMS = (
    Rewrite(
        "sum(scatter(g, a))",
        "sum(g)",
        Keeps.ROUNDING,
        lambda p: apply("sum", _spread(p), axes=(0, 2, 3)),
        "over whole planes",
    ),
)


def _spread(p: Tensor) -> Tensor:
    places = apply("max_pool2d_argmax", p, **_WINDOW)
    return apply("max_pool2d_scatter", apply("max_pool2d", p, **_WINDOW), places, size=p.shape[2:])


Inputs = tuple[Tensor, ...]

_PLANE_AXES = {2, 3}


def pool_before_relu(graph: Graph) -> Graph:
    """`graph` with pooled activations rectified after pooling, where nothing else reads them; see the module."""
    if not any(node.op == "max_pool2d_argmax" for node in graph.nodes):
        return graph
    readers = consumers(graph.nodes)
    kept = set(graph.results)
    late = {r for r in graph.nodes if r.op == "relu" and r not in kept and _is_pooled_alone(r, readers, kept)}

    def build(node: Node, inputs: Inputs) -> Tensor | None:
        if node.op == "max_pool2d" and node.inputs[0] in late:
            return apply("relu", apply("max_pool2d", inputs[0].inputs[0], **node.attrs))
        if node.op == "where" and _mask_of(node) in late:
            scatter, window = node.inputs[1].attrs, node.inputs[1].inputs[1].attrs
            (z,), g = inputs[0].inputs[0].inputs, inputs[1].inputs[0]
            pooled = apply("relu", apply("max_pool2d", z, **window))
            masked = apply("where", apply("greater", pooled, full_like(pooled, 0)), g, full_like(g, 0))
            return apply("max_pool2d_scatter", masked, apply("max_pool2d_argmax", z, **window), **scatter)
        return None

    return _rewritten(graph, build) if late else graph


def _is_pooled_alone(r: Node, readers: dict[Node, list[Node]], kept: set[Node]) -> bool:
    """Whether `r` is only pooled, and asked where it is positive to mask what its poolings' gradients spread."""
    searched = False
    for reader in readers[r]:
        if reader.op == "max_pool2d_argmax":
            searched = True
            uses = [(scatter, readers[scatter]) for scatter in readers[reader]]
            if reader in kept or any(not _is_masked(scatter, r, reader, masks, kept) for scatter, masks in uses):
                return False
        elif reader.op == "greater":
            if reader in kept or any(use.op != "where" or _mask_of(use) is not r for use in readers[reader]):
                return False
        elif reader.op != "max_pool2d":
            return False
    return searched


def _is_masked(scatter: Node, r: Node, positions: Node, masks: list[Node], kept: set[Node]) -> bool:
    """Whether `scatter` spreads over `r`'s plane by these positions, and only where r is positive is it read."""
    if scatter.op != "max_pool2d_scatter" or scatter in kept or scatter.inputs[1] is not positions:
        return False
    return all(mask.op == "where" and mask.inputs[1] is scatter and _mask_of(mask) is r for mask in masks)


def _mask_of(node: Node) -> Node | None:
    """`r` where `node` is where(r > 0, scatter(g, argmax(r)), 0)."""
    choice, spread, other = node.inputs
    if choice.op != "greater" or spread.op != "max_pool2d_scatter":
        return None
    if not (_is_zero(other) and _is_zero(choice.inputs[1])):
        return None
    r, positions = choice.inputs[0], spread.inputs[1]
    return r if positions.op == "max_pool2d_argmax" and positions.inputs[0] is r else None


def _is_zero(x: Node) -> bool:
    assert isinstance(x, Tensor)
    return constant_scalar(x) == 0


def sum_before_scatter(graph: Graph) -> Graph:
    """`graph` with no sum of what is only spread."""
    if not any(node.op == "max_pool2d_scatter" for node in graph.nodes):
        return graph

    def build(node: Node, inputs: Inputs) -> Tensor | None:
        if node.op == "sum" and inputs[0].op == "max_pool2d_scatter" and set(node.attrs["axes"]) >= _PLANE_AXES:
            return apply("sum", inputs[0].inputs[0], **node.attrs)
        return None

    return _rewritten(graph, build)


def _rewritten(graph: Graph, build: Callable[[Node, Inputs], Tensor | None]) -> Graph:
    """`graph` with each node replaced by what `build` makes of it over its new inputs, or kept where that is None."""

    def rewrite(node: Node, inputs: tuple[Node, ...]) -> Node:
        since = next_serial()
        new = build(node, cast(Inputs, inputs))
        if new is None:
            return rebuilt(node, inputs)
        inherit_location([new], since, node.location)
        return new

    return rebuild(graph, rewrite)
