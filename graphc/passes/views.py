"""Rules for views: two in a row become one, and those that change nothing go. All keep every element to the bit.

`transpose_products` computes transposed matrix products transposed: products read any strides, so that their operands
are transposed for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Graph, consumers, rebuild
from graphc.ir.node import Node, attribute_key, inherit_location, next_serial
from graphc.ops.build import apply, broadcast_to, full
from graphc.ops.primitives.views import join, narrow, pad_view, permute, reshape_to, scalar_of, slice_view
from graphc.ops.record import ALL
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, rebuilt, rewrite

__all__ = ["REWRITES", "VIEWS", "run_of_slices", "transpose_products"]

VIEWS = Rulebook()
BITS = Keeps.BITS


def _repeats_scalar(x: Tensor) -> Tensor | None:
    """The 0-d tensor that `x` repeats, if it is a broadcast of one."""
    return x.inputs[0] if x.op == "broadcast_to" and x.inputs[0].shape == () else None


@VIEWS.rule(
    ("transpose", "slice", "reshape"),
    Rewrite(
        "view(broadcast(scalar))", "broadcast(scalar)", BITS, lambda k: permute(broadcast_to(k, (3, 4)), (1, 0)),
        "transpose, slice or reshape", dtypes=ALL,
    ),
)  # fmt: skip
def _view_of_scalar(node: Tensor) -> Tensor | None:
    scalar = _repeats_scalar(node.inputs[0])
    return None if scalar is None else broadcast_to(scalar, node.shape)


@VIEWS.rule(
    "broadcast_to",
    Rewrite(
        "broadcast(broadcast(x))", "broadcast(x)", BITS, lambda x: broadcast_to(broadcast_to(x, (1, 9)), (4, 9)),
        dtypes=ALL,
    ),
    Rewrite(
        "broadcast(reshape(x))", "broadcast(x)", BITS, lambda x: broadcast_to(reshape_to(x, (1, 9)), (4, 9)),
        "the reshape adds leading extents of 1", dtypes=ALL,
    ),
)  # fmt: skip
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


@VIEWS.rule(
    "reshape",
    Rewrite(
        "reshape(reshape(x))", "reshape(x)", BITS, lambda x: reshape_to(reshape_to(x, (3, 3)), (9, 1)), dtypes=ALL,
    ),
    Rewrite(
        "reshape(x)", "x", BITS, lambda x: apply("reshape", x, shape=(9,)), "the shape is its own", dtypes=ALL,
    ),
)  # fmt: skip
def _reshape(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    return reshape_to(x.inputs[0], node.shape) if x.op == "reshape" else reshape_to(x, node.shape)


@VIEWS.rule(
    "transpose",
    Rewrite(
        "transpose(transpose(x))", "transpose(x)", BITS, lambda c: permute(permute(c, (1, 2, 0)), (1, 0, 2)),
        dtypes=ALL,
    ),
    Rewrite(
        "transpose(x)", "reshape(x)", BITS, lambda x: permute(reshape_to(x, (1, 9)), (1, 0)),
        "only extents of 1 move", dtypes=ALL,
    ),
)  # fmt: skip
def _transpose(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    axes = node.attrs["axes"]
    if x.op == "transpose":
        return permute(x.inputs[0], tuple(x.attrs["axes"][axis] for axis in axes))
    moved = [axis for axis in axes if x.shape[axis] != 1]
    return reshape_to(x, node.shape) if moved == sorted(moved) else None


@VIEWS.rule(
    "slice",
    Rewrite(
        "slice(slice(x))", "slice(x)", BITS, lambda x: slice_view(narrow(x, 0, 2, 6), (5,), (3,), (-2,)), dtypes=ALL,
    ),
    Rewrite(
        "slice(x)", "x", BITS, lambda x: apply("slice", x, starts=(0,), sizes=(9,), steps=(1,)), "it is all of x",
        dtypes=ALL,
    ),
)  # fmt: skip
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


@VIEWS.rule(
    "slice",
    Rewrite(
        "slice(pad(x))", "slice(x)", BITS, lambda x: narrow(pad_view(x, (2,), (3,)), 0, 4, 3), "within x", dtypes=ALL,
    ),
    Rewrite(
        "slice(pad(x))", "broadcast(the padding)", BITS, lambda x: narrow(pad_view(x, (2,), (3,), 1), 0, 0, 2),
        "beside x", dtypes=ALL,
    ),
)  # fmt: skip
def _slice_of_pad(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op != "pad" or not node.size:
        return None
    (source,) = x.inputs
    starts, sizes, steps = _window(node)
    starts = tuple(start - low for start, low in zip(starts, x.attrs["low"], strict=True))
    ends = [start + step * (size - 1) for start, size, step in zip(starts, sizes, steps, strict=True)]
    places = list(zip(starts, ends, source.shape, strict=True))
    if any(max(start, end) < 0 or min(start, end) >= extent for start, end, extent in places):
        return full(node.shape, x.attrs["value"], node.dtype)
    if all(0 <= start < extent and 0 <= end < extent for start, end, extent in places):
        return slice_view(source, starts, sizes, steps)
    return None


@VIEWS.rule(
    "slice",
    Rewrite(
        "slice(concatenate(x, ...))", "slice(x)", BITS, lambda x, y: narrow(join([x, y], 0), 0, 10, 4),
        "within one part", dtypes=ALL,
    ),
)  # fmt: skip
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


@VIEWS.rule(
    "pad",
    Rewrite(
        "pad(pad(x))", "pad(x)", BITS, lambda x: pad_view(pad_view(x, (1,), (0,)), (1,), (2,)),
        "by one and the same value", dtypes=ALL,
    ),
    Rewrite(
        "pad(x)", "x", BITS, lambda x: apply("pad", x, low=(0,), high=(0,), value=scalar_of(x.dtype, 0)),
        "by nothing", dtypes=ALL,
    ),
)  # fmt: skip
def _pad(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    low, high, value = node.attrs["low"], node.attrs["high"], node.attrs["value"]
    if x.op == "pad" and attribute_key(x.attrs["value"]) == attribute_key(value):
        low = tuple(map(sum, zip(low, x.attrs["low"], strict=True)))
        high = tuple(map(sum, zip(high, x.attrs["high"], strict=True)))
        return pad_view(x.inputs[0], low, high, value)
    return pad_view(x, low, high, value)


@VIEWS.rule(
    "concatenate",
    Rewrite(
        "concatenate(x)", "x", BITS, lambda x: apply("concatenate", x, axis=0), dtypes=ALL,
    ),
    Rewrite(
        "concatenate(concatenate(x, ...), ...)", "concatenate(x, ...)", BITS,
        lambda x, y: join([join([x, y], 0), x], 0), "along one axis", dtypes=ALL,
    ),
)  # fmt: skip
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


@VIEWS.rule(
    "concatenate",
    Rewrite(
        "concatenate(x[:a], x[a:b])", "x[:b]", BITS, lambda x: join([narrow(x, 0, 1, 3), narrow(x, 0, 4, 2)], 0),
        "slices that lie side by side, of any step", dtypes=ALL,
    ),
)  # fmt: skip
def _concatenate_run(node: Tensor) -> Tensor | None:
    return run_of_slices(node.inputs, node.attrs["axis"]) if len(node.inputs) > 1 else None


REWRITES = (
    Rewrite(
        "transpose(a @ b)", "transpose(b) @ transpose(a)", Keeps.ROUNDING,
        lambda a, d: permute(apply("matmul", a, d), (1, 0)),
        "of the last two axes or of others as well, where columns come before rows and nobody else reads a @ b",
    ),
)  # fmt: skip


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
        *batch, rows, columns = range(product.ndim)
        swapped = (*batch, columns, rows)
        a, b = (permute(source, swapped) for source in inputs[0].inputs)  # type: ignore[arg-type]
        new = permute(apply("matmul", b, a), tuple(swapped[axis] for axis in node.attrs["axes"]))
        inherit_location([new], since, node.location)
        return new

    return rewrite(rebuild(graph, turn), VIEWS.rules)


def _swaps_last_two(axes: tuple[int, ...]) -> bool:
    return axes.index(len(axes) - 1) < axes.index(len(axes) - 2)
