"""Rules for views: two in a row become one, and those that change nothing go.

    broadcast(broadcast(x)) = broadcast(x)                 broadcast(reshape(x)) = broadcast(x)   it adds leading 1s
    reshape(reshape(x))     = reshape(x)                   reshape(x) = transpose(x) = x          same shape, same order
    transpose(transpose(x)) = transpose(x)                 transpose(x) = reshape(x)              only extents of 1 move
    slice(slice(x))         = slice(x)                     slice(pad(x)) = slice(x)               within x
    slice(concatenate(...)) = slice(part)                  within a part
    pad(pad(x))             = pad(x)                       equal values
    concatenate(x)          = x                            concatenate(concatenate(...)) = concatenate   same axis
    concatenate(x[:a], x[a:b]) = x[:b]                     slices that lie side by side
    view(broadcast(scalar)) = broadcast(scalar)            reshape, transpose, slice
    transpose(a @ b)        = transpose(b) @ transpose(a)  last two axes, no other reader (products read any strides)

All keep every element to the bit; the last sums the same products in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Graph, consumers, rebuild
from graphc.ir.node import Node, attribute_key, inherit_location, next_serial
from graphc.ops.build import apply, broadcast_to
from graphc.ops.tensor import Tensor
from graphc.ops.views import pad_view, permute, reshape_to, slice_view
from graphc.passes.rewriting import Rules, rebuilt, rewrite

__all__ = ["VIEW_RULES", "transpose_products"]


def _repeats_scalar(x: Tensor) -> Tensor | None:
    """The 0-d tensor that `x` repeats, if it is a broadcast of one."""
    return x.inputs[0] if x.op == "broadcast_to" and x.inputs[0].shape == () else None


def _view_of_scalar(node: Tensor) -> Tensor | None:
    scalar = _repeats_scalar(node.inputs[0])
    return None if scalar is None else broadcast_to(scalar, node.shape)


def _broadcast(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    if x.op == "broadcast_to":
        return broadcast_to(x.inputs[0], node.shape)
    if x.op == "reshape":
        (source,) = x.inputs
        lead = x.ndim - source.ndim
        if lead > 0 and x.shape == (1,) * lead + source.shape:
            return broadcast_to(source, node.shape)
    return None


def _reshape(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    return reshape_to(x.inputs[0], node.shape) if x.op == "reshape" else reshape_to(x, node.shape)


def _transpose(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    axes = node.attrs["axes"]
    if x.op == "transpose":
        return permute(x.inputs[0], tuple(x.attrs["axes"][axis] for axis in axes))
    moved = [axis for axis in axes if x.shape[axis] != 1]
    return reshape_to(x, node.shape) if moved == sorted(moved) else None


def _slice_of_slice(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op != "slice":
        return slice_view(x, *_window(node)) if _is_whole(node) else None
    inner, outer = x.attrs, node.attrs
    starts = tuple(a + s * b for a, s, b in zip(inner["starts"], inner["steps"], outer["starts"], strict=True))
    steps = tuple(a * b for a, b in zip(inner["steps"], outer["steps"], strict=True))
    return slice_view(x.inputs[0], starts, node.shape, steps)


def _window(node: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return node.attrs["starts"], node.attrs["sizes"], node.attrs["steps"]


def _is_whole(node: Tensor) -> bool:
    return node.shape == node.inputs[0].shape and all(step == 1 for step in node.attrs["steps"])


def _slice_of_pad(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op != "pad" or not node.size:
        return None
    (source,) = x.inputs
    starts, sizes, steps = _window(node)
    starts = tuple(start - low for start, low in zip(starts, x.attrs["low"], strict=True))
    for start, size, step, extent in zip(starts, sizes, steps, source.shape, strict=True):
        if not (0 <= start < extent and 0 <= start + step * (size - 1) < extent):
            return None
    return slice_view(source, starts, sizes, steps)


def _slice_of_concatenate(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op != "concatenate" or not node.size:
        return None
    axis = x.attrs["axis"]
    starts, sizes, steps = _window(node)
    ends = sorted((starts[axis], starts[axis] + steps[axis] * (sizes[axis] - 1)))
    before = 0
    for part in x.inputs:
        if before <= ends[0] and ends[1] < before + part.shape[axis]:
            return slice_view(part, (*starts[:axis], starts[axis] - before, *starts[axis + 1 :]), sizes, steps)
        before += part.shape[axis]
    return None


def _pad(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    low, high, value = node.attrs["low"], node.attrs["high"], node.attrs["value"]
    if x.op == "pad" and attribute_key(x.attrs["value"]) == attribute_key(value):
        low = tuple(map(sum, zip(low, x.attrs["low"], strict=True)))
        high = tuple(map(sum, zip(high, x.attrs["high"], strict=True)))
        return pad_view(x.inputs[0], low, high, value)
    return pad_view(x, low, high, value)


def _concatenate(node: Tensor) -> Tensor | None:
    axis = node.attrs["axis"]
    parts: list[Tensor] = []
    for part in node.inputs:
        nested = part.op == "concatenate" and part.attrs["axis"] == axis
        parts.extend(source for source in (part.inputs if nested else (part,)) if source.shape[axis])
    if len(parts) == 1:
        return parts[0]
    return apply("concatenate", *parts, axis=axis) if parts and len(parts) != len(node.inputs) else None


def run_of_slices(parts: Sequence[Tensor], axis: int) -> Tensor | None:
    """The slice that `parts` put one after the other along `axis` are, where they lie side by side in one tensor."""
    first = parts[0]
    if first.op != "slice" or any(part.op != "slice" or part.inputs[0] is not first.inputs[0] for part in parts):
        return None
    starts, sizes, steps = _window(first)
    extents = [part.shape[axis] for part in parts]
    second = parts[1].attrs["starts"][axis] if len(parts) > 1 else 0
    step = steps[axis] if sizes[axis] > 1 else second - starts[axis]
    at = starts[axis]
    for part, extent in zip(parts, extents, strict=True):
        here = (*starts[:axis], at, *starts[axis + 1 :]), (*sizes[:axis], extent, *sizes[axis + 1 :])
        stride = (*steps[:axis], step if extent > 1 else 1, *steps[axis + 1 :])
        if not extent or not step or _window(part) != (*here, stride):
            return None
        at += step * extent
    whole = (*sizes[:axis], sum(extents), *sizes[axis + 1 :])
    return slice_view(first.inputs[0], starts, whole, (*steps[:axis], step, *steps[axis + 1 :]))


def _concatenate_run(node: Tensor) -> Tensor | None:
    return run_of_slices(node.inputs, node.attrs["axis"]) if len(node.inputs) > 1 else None


VIEW_RULES: Rules = {
    "broadcast_to": (_broadcast,),
    "reshape": (_reshape, _view_of_scalar),
    "transpose": (_view_of_scalar, _transpose),
    "slice": (_view_of_scalar, _slice_of_slice, _slice_of_pad, _slice_of_concatenate),
    "pad": (_pad,),
    "concatenate": (_concatenate, _concatenate_run),
}


def transpose_products(graph: Graph) -> Graph:
    """`graph` with transposed matrix products computed transposed, where nobody reads the untransposed product."""
    if not any(node.op == "transpose" and node.inputs[0].op == "matmul" for node in graph.nodes):
        return graph
    readers = consumers(graph.nodes)
    results = set(graph.results)

    def turn(node: Node, inputs: tuple[Node, ...]) -> Node:
        product = node.inputs[0] if node.op == "transpose" else None
        swap = product is not None and product.op == "matmul" and _swaps_last_two(node.attrs["axes"])
        if product is None or not swap or product in results or len(readers[product]) > 1:
            return rebuilt(node, inputs)
        since = next_serial()
        axes = node.attrs["axes"]
        a, b = (permute(source, axes) for source in inputs[0].inputs)  # type: ignore[arg-type]
        new = apply("matmul", b, a)
        inherit_location([new], since, node.location)
        return new

    return rewrite(rebuild(graph, turn), VIEW_RULES)


def _swaps_last_two(axes: tuple[int, ...]) -> bool:
    return axes == (*range(len(axes) - 2), len(axes) - 1, len(axes) - 2)
