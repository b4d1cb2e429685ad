"""`evaluate`: the interpreter of the tensor graph in NumPy, the oracle of every backend.

It walks the nodes in order and calls each op's `reference`; it shares no pass and no kernel with the backends. 16-bit
floats are computed in float32 and rounded after every op. An array is freed when its last reader has run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError, InputError, shown, with_location
from graphc.ir.data import MOST_SEED, MOST_STEP, number_of, read_array, whole_number
from graphc.ir.fresh import fresh_numbers
from graphc.ir.graph import interpret, needed, topological
from graphc.ir.location import capture
from graphc.ir.node import Node
from graphc.ir.public import public
from graphc.ops.applying import apply_reference
from graphc.ops.guard import Storage, copies
from graphc.ops.index_ranges import index_ranges
from graphc.ops.parameter import Parameter
from graphc.ops.primitives.random import check_streams, random_bits_reference
from graphc.ops.record import Array
from graphc.ops.tensor import Tensor

__all__ = ["evaluate"]

Values = Mapping[Any, Any]


@public
def evaluate(results: Any, values: Values | None = None, *, seed: int = 0, step: int = 0) -> Any:
    """The arrays of `results`, given arrays for the inputs under them; each has the shape and dtype of its node.

    For a tensor it is an array, for a dict of tensors a dict, else a list. Any node may be given a value, which then
    stands for it. Parameters have the value they hold unless one is given. `seed` and `step` are those of the random
    bits; results of one call draw as one program would, so tensors that share draws are evaluated together. Raises
    GraphError for an input without a value, InputError for a value of another shape or dtype, or an index out of range.

    >>> x = input("x", (2,))
    >>> evaluate([x * 2], {x: np.float32([1, 2])})
    [array([2., 4.], dtype=float32)]
    >>> evaluate(gx.abs([-1.5, 2.0]))
    array([1.5, 2. ], dtype=float32)
    """
    if isinstance(results, Tensor):
        return _evaluated([results], values or {}, seed, step)[0]
    if isinstance(results, Mapping):
        return dict(zip(results, _evaluated(list(results.values()), values or {}, seed, step), strict=True))
    return _evaluated(list(results), values or {}, seed, step)


def _evaluated(wanted: list[Node], values: Values, seed: int, step: int) -> list[Array]:
    seed, step = whole_number(seed, "a seed", 0, MOST_SEED), whole_number(step, "a step", 0, MOST_STEP)
    for node in wanted:
        if not isinstance(node, Node):
            raise GraphError(f"what is evaluated are tensors, not {shown(node)}")
    given = {node: _checked(node, value) for node, value in values.items()}
    nodes = topological(wanted)
    check_streams(nodes)
    numbers = fresh_numbers(nodes)
    order = needed(wanted, given)
    _check_indices(order, given)
    held = [node for node in order if isinstance(node, Parameter) and node not in given]
    given |= copies({parameter: Storage(parameter.storage, parameter.guard) for parameter in held})

    def compute(node: Node, inputs: tuple[Array, ...]) -> Any:
        if node.op != "random_bits":
            return apply_reference(node, inputs)
        stream = node.attrs["stream"]
        return random_bits_reference(node.shape, numbers.get(stream, stream), seed, step)

    with np.errstate(all="ignore"):
        return [np.array(array) for array in interpret(wanted, given, compute)]


def _checked(node: Node, value: Any) -> Array:
    """`value` as an array for `node`; numbers and lists are converted, arrays must have the dtype."""
    if not isinstance(node, Node):
        raise with_location(GraphError(f"values are given by tensor, not by {shown(node)}"), capture())
    try:
        array: Array = read_array(value)
        if not hasattr(value, "__array__") or number_of(value) is not None:
            array = array.astype(node.dtype.numpy)
    except (TypeError, ValueError, OverflowError) as error:
        raise with_location(InputError(f"{node!r} takes {node.type}, got {shown(value)}: {error}"), capture()) from None
    if array.shape != node.shape or array.dtype != node.dtype.numpy:
        came = f"{array.dtype}{list(array.shape)}"
        raise with_location(InputError(f"{node!r} takes {node.type}, got {came}"), node.location)
    return array


def _check_indices(order: Sequence[Node], given: Mapping[Node, Array]) -> None:
    """Raise InputError for a given value that is used as an index and out of range, as a program's call does."""
    sources = list(given)
    for rule in index_ranges(order, sources):
        source = sources[rule.input]
        error = rule.fault(source.attrs.get("name", source.op), given[source])
        if error is not None:
            raise error
