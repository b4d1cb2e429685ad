"""How nodes are built: `apply` for a primitive, and the coercions that functions share.

Primitives are strict: an elementwise op takes equal shapes and the dtypes its rule asks for. Functions make operands
fit first: arrays and scalars become constants, dtypes are promoted as NumPy does (numbers are weak, NumPy's scalars
too: docs/types.md), shapes are broadcast by explicit `broadcast_to` nodes, so that no gradient rule ever meets
broadcasting.
"""

from __future__ import annotations

import builtins
import functools
from typing import Any

import numpy as np

from graphc.errors import DTypeError, FormatError, GraphcError, GraphError, ShapeError, shown, with_location
from graphc.ir.data import number_of, read_array
from graphc.ir.location import capture
from graphc.ir.node import Literal, Node, Results, Type, intern, next_serial
from graphc.ir.notice import warn_once
from graphc.ir.public import public
from graphc.ir.types import DTYPES, DType, TensorType, TupleType, checked_size, dtype_of, promote
from graphc.ops.guard import Guard
from graphc.ops.parameter import Parameter, aligned_copy
from graphc.ops.record import NO_GRADIENT, OPS, Jvp, Kind, Op, call, op_of, primitive
from graphc.ops.tensor import Tensor

__all__ = [
    "apply", "apply_parameter", "apply_several", "as_array", "as_float", "as_tensor", "broadcast_shapes",
    "broadcast_to", "build_node", "cast", "constant", "copy", "full", "full_like", "infer_type", "invoke",
    "normalize_axes", "normalize_axis", "ones_like", "operands", "parts_of", "promoted", "scalar_like",
    "with_an_axis", "zeros", "zeros_like",
]  # fmt: skip


def apply(op: str, *inputs: Node, **attrs: Any) -> Tensor:
    """The node for primitive `op`. Errors of its rule are raised with the user's line."""
    return _node(op, inputs, attrs)  # type: ignore[return-value]


def apply_several(op: str, *inputs: Node, **attrs: Any) -> tuple[Tensor, ...]:
    """The results of primitive `op`, which has several."""
    return parts_of(_node(op, inputs, attrs))


def parts_of(node: Node) -> tuple[Tensor, ...]:
    """The results of a node that has several, each a node."""
    assert isinstance(node, Results)
    return tuple(apply("part", node, index=index) for index in range(len(node.type.parts)))


def _node(op: str, inputs: tuple[Node, ...], attrs: dict[str, Any]) -> Node:
    try:
        found = OPS[op].infer(*(source.type for source in inputs), **attrs)
        kind: type[Node] = Results if isinstance(found, TupleType) else Tensor
        node = intern(kind, op, inputs, attrs, found)
        if node.location is None:  # a new one
            for each in found.parts if isinstance(found, TupleType) else (found,):
                checked_size(each)
            node.location = capture()
    except GraphcError as error:
        raise with_location(error, capture()) from None
    return node


def invoke(name: str, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor that the function `name` builds: what compositions are written with."""
    return call(name, *args, **kwargs)  # type: ignore[no-any-return]


def apply_parameter(name: str, value: Any, *, trainable: bool) -> Parameter:
    """A new parameter whose storage is a 64-byte aligned copy of the array `value`. No two calls give the same."""
    attrs = {"name": name, "uid": next_serial(), "shape": value.shape, "dtype": dtype_of(value.dtype)}
    node = intern(Parameter, "parameter", (), attrs, OPS["parameter"].infer(**attrs))
    node.storage, node.trainable, node.home, node.location = aligned_copy(value), trainable, None, capture()
    node.guard = Guard()
    return node


def build_node(op: str, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Node:
    """The node with these parts: what reading a graph's text builds with. A parameter must still be alive."""
    if op not in OPS:
        raise FormatError(f"no op is called {op!r}")
    _check_arity(OPS[op], len(inputs))
    try:
        if op != "parameter":
            return _node(op, inputs, attrs)
        node: Tensor = intern(Parameter, op, inputs, attrs, OPS[op].infer(**attrs))
    except TypeError as error:
        raise FormatError(f"{op} does not take these inputs and attributes: {error}") from None
    if not hasattr(node, "storage"):
        raise FormatError(f"no parameter {attrs['name']!r} of type {node.type} with uid {attrs['uid']} is alive")
    return node


def infer_type(node: Any) -> Type:
    """The type that the rule of the node's op gives it. Raises what the rule raises."""
    op = op_of(node)
    _check_arity(op, len(node.inputs))
    return op.infer(*(source.type for source in node.inputs), **node.attrs)


def _check_arity(op: Op, count: int) -> None:
    if isinstance(op.vjp, tuple) and len(op.vjp) != count:
        raise GraphError(f"{op.name} takes {len(op.vjp)} input(s), not {count}")


def _infer_part(whole: TupleType, *, index: int) -> TensorType:
    if not isinstance(whole, TupleType) or not 0 <= index < len(whole.parts):
        raise ShapeError(f"there is no part {index} of {whole}")
    return whole.parts[index]


# Both modes of differentiation, and the reference, know it: what leads to a part leads to the node behind it.
primitive(
    "part", kind=Kind.PART, infer=_infer_part, vjp=(NO_GRADIENT,), jvp=NO_GRADIENT,
    reference=lambda whole, *, index: whole[index],
)  # fmt: skip
primitive(
    "constant",
    kind=Kind.SOURCE,
    infer=lambda *, value: value.type,
    vjp=(),
    jvp=NO_GRADIENT,
    reference=lambda *, value: value.array,
)


@public
def constant(array: Any, dtype: Any = None) -> Tensor:
    """A tensor with a fixed value, copied from `array`.

    Arrays keep their dtype; in numbers and lists of them floats become float32, unless `dtype` says otherwise (the
    rules stand in docs/types.md). Raises DTypeError.

    >>> constant([1.0, 2.0])
    <constant: float32[2]>
    """
    if isinstance(array, Tensor):
        return array if dtype is None else cast(array, dtype_of(dtype))
    return apply("constant", value=Literal(as_array(array, dtype, "constant")))


def as_array(value: Any, dtype: Any, role: str) -> Any:
    """`value` as a new array. Arrays keep their dtype; in numbers and lists of them floats become float32, unless
    `dtype` says otherwise. Raises DTypeError, which names the `role`."""
    is_array = hasattr(value, "__array__") and not isinstance(value, np.generic)
    try:
        target = None if dtype is None else dtype_of(dtype)
        array = read_array(value)
        if target is None:
            target = DTYPES["float32"] if array.dtype == np.float64 and not is_array else dtype_of(array.dtype)
        if array.dtype.kind == "c":
            raise DTypeError("there are no complex numbers; pass real and imaginary parts apart")
        with np.errstate(all="ignore"):
            return array.astype(target.numpy, order="C")
    except (DTypeError, TypeError, ValueError, OverflowError) as error:
        raise with_location(DTypeError(f"cannot make a {role} of {shown(value)}: {error}"), capture()) from None


primitive(
    "copy",
    kind=Kind.ELEMENTWISE,
    infer=lambda x, *, slot: x,
    vjp=(lambda g, y, x, *, slot: g,),
    jvp=Jvp.POINTWISE,
    reference=lambda x, *, slot: x,
    cost=1,
)


def copy(x: Tensor, slot: int = 0) -> Tensor:
    """`x` in a buffer of its own; copies with different `slot` stay apart."""
    return apply("copy", x, slot=slot)


def as_tensor(value: Any, like: DType | None = None) -> Tensor:
    """`value` as a tensor. A number takes the dtype `like` where it can (NEP 50's weak scalars)."""
    if isinstance(value, Tensor):
        return value
    number = None if like is None else number_of(value)
    return constant(value) if like is None or number is None else constant(number, _weak_dtype(number, like))


def _weak_dtype(value: bool | int | float, like: DType) -> DType:
    if isinstance(value, bool):
        return like
    if isinstance(value, int):
        if like.kind == "bool":
            return DTYPES["int64"]
        if like.is_integer:
            info = np.iinfo(like.numpy)
            if not info.min <= value <= info.max:
                raise with_location(DTypeError(f"the integer {shown(value)} is out of bounds for {like}"), capture())
        return like
    return like if like.is_float else DTYPES["float64"]


def operands(*values: Any) -> tuple[Tensor, ...]:
    """All values as tensors of one dtype and one shape."""
    first = values[0]
    if all(isinstance(value, Tensor) and value.type == first.type for value in values):
        return values
    tensors = promoted(*values)
    shape = broadcast_shapes(*(tensor.shape for tensor in tensors))
    return tuple(broadcast_to(tensor, shape) for tensor in tensors)


def promoted(*values: Any) -> tuple[Tensor, ...]:
    """All values as tensors of one dtype, each with its own shape.

    Numbers take the dtype in which the others meet; where there are only numbers, that of the widest kind.
    """
    numbers = [number_of(value) for value in values]
    strong = [as_tensor(value) for value, number in zip(values, numbers, strict=True) if number is None]
    if strong:
        like = _meeting(strong)
    else:
        kinds = {type(number) for number in numbers}
        like = DTYPES["float32" if float in kinds else "int64" if int in kinds else "bool"]
    rest = iter(strong)
    tensors = [next(rest) if number is None else as_tensor(number, like) for number in numbers]
    like = functools.reduce(promote, (tensor.dtype for tensor in tensors))  # a float beside integers widens all
    return tuple(cast(tensor, like) for tensor in tensors)


def _meeting(tensors: list[Tensor]) -> DType:
    """The dtype in which tensors meet. Data in float64 that widens narrower floats is warned of, once for a line."""
    like = functools.reduce(promote, (tensor.dtype for tensor in tensors))
    if like.name == "float64":
        wide = [tensor for tensor in tensors if tensor.dtype is like]
        narrow = [tensor for tensor in tensors if tensor.dtype.is_float and tensor.dtype is not like]
        if narrow and wide and all(tensor.op in ("constant", "parameter") for tensor in wide):
            warn_once(
                f"widened at {capture()}",
                f"the float64 data {wide[0]!r} makes float64 of {narrow[0]!r}: NumPy's arrays are float64 unless told "
                "otherwise; give it as .astype(np.float32) or with dtype=, or cast with astype where it is meant",
            )
    return like


def as_float(value: Any) -> Tensor:
    """`value` as a tensor of a floating dtype: integers and bools become float64, as in NumPy."""
    tensor = as_tensor(value)
    return tensor if tensor.dtype.is_float else cast(tensor, DTYPES["float64"])


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's broadcast of shapes. Raises ShapeError, which names both."""
    wide = [shape for shape in shapes if shape] or [()]
    if all(shape == wide[0] for shape in wide):
        return wide[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        text = " and ".join(map(str, shapes))
        raise with_location(
            ShapeError(
                f"shapes {text} do not broadcast together: aligned at the right, each pair of extents must be equal "
                "or hold a 1"
            ),
            capture(),
        ) from None


def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`x` repeated to `shape`; `x` itself where it has that shape."""
    return x if x.shape == shape else apply("broadcast_to", x, shape=shape)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """`x` as `dtype`; `x` itself where it has it, and a new constant for a constant."""
    if x.dtype is dtype:
        return x
    if x.op == "constant":
        with np.errstate(all="ignore"):
            return constant(x.attrs["value"].array, dtype)
    return apply("cast", x, dtype=dtype)


def full(shape: tuple[int, ...], value: float | int | bool, dtype: DType) -> Tensor:
    """A tensor of one value. Takes no memory: a broadcast scalar."""
    return broadcast_to(constant(value, dtype), shape)


def full_like(x: Tensor, value: float | int | bool) -> Tensor:
    return full(x.shape, value, x.dtype)


def zeros(type: TensorType) -> Tensor:
    return full(type.shape, 0, type.dtype)


def zeros_like(x: Tensor) -> Tensor:
    return full_like(x, 0)


def ones_like(x: Tensor) -> Tensor:
    return full_like(x, 1)


def scalar_like(x: Tensor, value: float) -> Tensor:
    """`value` as a 0-d constant of the dtype of `x`."""
    return constant(value, x.dtype)


def normalize_axis(axis: Any, ndim: int) -> int:
    """`axis` counted from the front. Raises ShapeError when it is out of range or no integer."""
    if isinstance(axis, (bool, np.bool_)) or not isinstance(axis, (int, np.integer)):
        raise with_location(ShapeError(f"an axis is an integer, not {shown(axis)}"), capture())
    if not -ndim <= axis < ndim:
        raise with_location(ShapeError(f"axis {shown(axis)} is out of range for {ndim} axes"), capture())
    return int(axis) % ndim


def with_an_axis(x: Tensor) -> Tensor:
    """`x`, and a 0-d `x` as one element in one axis: along which functions of one axis work then."""
    return x if x.ndim else apply("reshape", x, shape=(1,))


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, sorted: None is all of them. Raises ShapeError for repeats and bad axes.

    0 and -1 are axes of a 0-d tensor, too, as in NumPy and PyTorch: one that there is nothing to do along.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = [normalize_axis(a, ndim or 1) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if len(builtins.set(axes)) != len(axes):
        raise with_location(ShapeError(f"axes {shown(axis)} name one axis twice"), capture())
    return tuple(sorted(axes)) if ndim else ()
