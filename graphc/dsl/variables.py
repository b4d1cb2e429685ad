"""What a graph starts from: inputs given at each call, parameters and state that outlive calls, constants."""

from __future__ import annotations

from typing import Any

from graphc.errors import DTypeError, GraphcError, GraphError, shown, with_location
from graphc.ir.location import capture
from graphc.ir.public import public
from graphc.ir.types import tensor_type
from graphc.ops.build import apply, apply_parameter, as_array, constant
from graphc.ops.parameter import Parameter
from graphc.ops.tensor import Tensor

__all__ = ["constant", "input", "parameter", "state"]


@public
def input(name: str, shape: Any, dtype: Any = "float32") -> Tensor:
    """A tensor whose value is given at each call of a program, under `name`.

    `shape` is an int or a sequence of ints >= 0. Two inputs of one name and type are the same tensor; that all
    inputs of a program have different names is checked when it is compiled.

    Raises GraphError (an empty name), ShapeError, DTypeError.

    >>> input("x", (64, 10))
    <input 'x': float32[64, 10]>
    """
    _check_name(name, "input")
    try:
        type = tensor_type(shape, dtype)
    except GraphcError as error:
        raise with_location(error, capture()) from None
    node = apply("input", name=name, shape=type.shape, dtype=type.dtype)
    node.location = capture()  # of equal inputs, which are one node, the line that asked last
    return node


@public
def parameter(name: str, value: Any, *, dtype: Any = None, trainable: bool = True) -> Parameter:
    """A tensor that keeps its value between calls and can be updated by them: a weight.

    The value is copied. Arrays keep their dtype (NumPy's are float64 unless told otherwise); in numbers and lists of
    them floats become float32; `dtype=` overrides both (docs/types.md). Every call makes a new parameter, also for an
    equal name. `p.value` reads a copy and is assigned.

    Raises GraphError (an empty name), DTypeError (an unsupported dtype, or a trainable parameter that is not float).

    >>> parameter("weight", [[0.15, 0.20], [0.25, 0.30]])
    <parameter 'weight': float32[2, 2]>
    """
    _check_name(name, "parameter")
    if isinstance(value, Tensor):
        raise with_location(
            GraphError(f"the value of parameter {name!r} must be an array; {value!r} is symbolic and has none"),
            capture(),
        )
    array = as_array(value, dtype, f"parameter {shown(name)}")
    if trainable and array.dtype.kind in "iub":
        raise with_location(
            DTypeError(
                f"parameter {name!r} is {array.dtype}, which cannot be trained; pass floats or dtype=, or make it a "
                "state with gx.state"
            ),
            capture(),
        )
    return apply_parameter(name, array, trainable=trainable)


@public
def state(name: str, value: Any, *, dtype: Any = None) -> Parameter:
    """A parameter that is not trained: running statistics, a step count, an optimiser's moments. Any dtype.

    >>> state("steps", 0)
    <parameter 'steps': int64[]>
    """
    return parameter(name, value, dtype=dtype, trainable=False)


def _check_name(name: Any, role: str) -> None:
    if not isinstance(name, str) or not name:
        raise with_location(GraphError(f"the name of a {role} is a non-empty string, not {shown(name)}"), capture())
    if any("\ud800" <= character <= "\udfff" for character in name):
        error = (
            f"the name of a {role} is text that files can hold, not {name!r}, which has half a character (a surrogate)"
        )
        raise with_location(GraphError(error), capture())
