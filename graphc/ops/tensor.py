"""`Tensor`: a node with NumPy's operators, attributes and methods.

Each operator stands for the function of the same name in `FUNCTIONS`, so gradient rules read as mathematics.
A tensor is symbolic: it has no value until a program runs, hence no truth value, length-independent iteration only
over its first axis, and `==` compares element by element. Hashing is by identity. NumPy's functions build tensors, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphc.errors import ArgumentError, GraphError, MissingError, ShapeError, with_location
from graphc.ir.location import capture
from graphc.ir.node import Node
from graphc.ir.public import public
from graphc.ops.protocols import call_function, call_ufunc
from graphc.ops.record import call

__all__ = ["Tensor"]

_VALUE = "it is symbolic; values come out of a program, as in loss = step(...), or of gx.evaluate"
HABITS = {
    "item": _VALUE, "numpy": _VALUE, "tolist": _VALUE, "data": _VALUE,
    "detach": "gx.stop_gradient(x) is x without a gradient",
    "grad": "gradients are tensors, made by gx.grad(loss, parameters)",
    "requires_grad": "what to differentiate by is said to gx.grad; gx.stop_gradient cuts a path",
    "requires_grad_": "what to differentiate by is said to gx.grad; gx.stop_gradient cuts a path",
    "zero_grad": "gradients are tensors, made anew by gx.grad: nothing has to be cleared",
    "to": "x.astype(dtype) converts; gx.compile(..., backend=) says where a program runs",
    "cpu": "gx.compile(..., backend=) says where a program runs",
    "cuda": "gx.compile(..., backend=) says where a program runs",
    "float": "x.astype('float32') converts", "double": "x.astype('float64') converts",
    "long": "x.astype('int64') converts", "int": "x.astype('int32') converts",
    "view": "x.reshape(shape) is what it does", "permute": "x.transpose(axes) is what it does",
    "unsqueeze": "gx.expand_dims(x, axis) is what it does", "dim": "x.ndim is the number of axes",
    "expand": "gx.broadcast_to(x, shape) is what it does", "contiguous": "every tensor is as if it were",
    "clone": "tensors are never changed, so none needs a copy",
    "copy": "tensors are never changed, so none needs a copy",
}  # fmt: skip


class Tensor(Node):
    """A symbolic array with a static shape and dtype. See the functions of `graphc` for what each method does."""

    __slots__ = ()
    __array_priority__ = 1000

    inputs: tuple[Tensor, ...]

    def __repr__(self) -> str:
        name = self.shown_name
        return f"<{self.op}{f' {name!r}' if name is not None else ''}: {self.type}>"

    @property
    def shown_name(self) -> str | None:
        """The name of an input, or of another node that the user named."""
        return self.attrs.get("name")

    __hash__ = object.__hash__  # by identity, though == compares element by element

    def __bool__(self) -> bool:
        raise with_location(
            GraphError(
                f"{self!r} has no truth value while the graph is built; choose with gx.where(condition, a, b), "
                "and compare tensors for identity with `is`"
            ),
            capture(),
        )

    def __len__(self) -> int:
        if not self.shape:
            raise with_location(ArgumentError(f"{self!r} has no axes, and so no length"), capture())
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise with_location(ArgumentError(f"{self!r} has no axes to iterate over"), capture())
        return (self[i] for i in range(self.shape[0]))

    # What only a value can do ------------------------------------------------------------------------------------
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._has_no_value("is no array")

    def __float__(self) -> float:
        raise self._has_no_value("is no number")

    __int__ = __index__ = __complex__ = __float__

    def __format__(self, form: str) -> str:
        if form:
            raise self._has_no_value(f"cannot be written as {form!r}")
        return repr(self)

    def _has_no_value(self, what: str) -> GraphError:
        return with_location(
            GraphError(
                f"{self!r} is symbolic and {what}: values come out of a program, as in step = gx.compile(inputs, loss) "
                "and step(...), or of gx.evaluate"
            ),
            capture(),
        )

    def __setitem__(self, key: Any, value: Any) -> None:
        raise with_location(
            ArgumentError(
                f"{self!r} cannot be changed: y = gx.index_update(x, key, value) is x with x[key] replaced, "
                "gx.index_add adds to it"
            ),
            capture(),
        )

    def __getattr__(self, name: str) -> Any:
        """Only asked for what there is not: habits from elsewhere are told the way here."""
        if name in HABITS:
            error = f"{self!r} has no {name}: {HABITS[name]}"
            raise with_location(MissingError(error), capture())
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    # NumPy's functions -------------------------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        return call_function(function, args, keywords)

    # Operators ---------------------------------------------------------------------------------------------------
    def __add__(self, other: Any) -> Tensor:
        return call("add", self, other)  # type: ignore[no-any-return]

    def __radd__(self, other: Any) -> Tensor:
        return call("add", other, self)  # type: ignore[no-any-return]

    def __sub__(self, other: Any) -> Tensor:
        return call("subtract", self, other)  # type: ignore[no-any-return]

    def __rsub__(self, other: Any) -> Tensor:
        return call("subtract", other, self)  # type: ignore[no-any-return]

    def __mul__(self, other: Any) -> Tensor:
        return call("multiply", self, other)  # type: ignore[no-any-return]

    def __rmul__(self, other: Any) -> Tensor:
        return call("multiply", other, self)  # type: ignore[no-any-return]

    def __truediv__(self, other: Any) -> Tensor:
        return call("divide", self, other)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Any) -> Tensor:
        return call("divide", other, self)  # type: ignore[no-any-return]

    def __floordiv__(self, other: Any) -> Tensor:
        return call("floor_divide", self, other)  # type: ignore[no-any-return]

    def __rfloordiv__(self, other: Any) -> Tensor:
        return call("floor_divide", other, self)  # type: ignore[no-any-return]

    def __mod__(self, other: Any) -> Tensor:
        return call("remainder", self, other)  # type: ignore[no-any-return]

    def __rmod__(self, other: Any) -> Tensor:
        return call("remainder", other, self)  # type: ignore[no-any-return]

    def __pow__(self, other: Any) -> Tensor:
        return call("power", self, other)  # type: ignore[no-any-return]

    def __rpow__(self, other: Any) -> Tensor:
        return call("power", other, self)  # type: ignore[no-any-return]

    def __matmul__(self, other: Any) -> Tensor:
        return call("matmul", self, other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: Any) -> Tensor:
        return call("matmul", other, self)  # type: ignore[no-any-return]

    def __neg__(self) -> Tensor:
        return call("negative", self)  # type: ignore[no-any-return]

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return call("abs", self)  # type: ignore[no-any-return]

    def __invert__(self) -> Tensor:
        return call("bitwise_invert", self)  # type: ignore[no-any-return]

    def __and__(self, other: Any) -> Tensor:
        return call("bitwise_and", self, other)  # type: ignore[no-any-return]

    def __rand__(self, other: Any) -> Tensor:
        return call("bitwise_and", other, self)  # type: ignore[no-any-return]

    def __or__(self, other: Any) -> Tensor:
        return call("bitwise_or", self, other)  # type: ignore[no-any-return]

    def __ror__(self, other: Any) -> Tensor:
        return call("bitwise_or", other, self)  # type: ignore[no-any-return]

    def __xor__(self, other: Any) -> Tensor:
        return call("bitwise_xor", self, other)  # type: ignore[no-any-return]

    def __rxor__(self, other: Any) -> Tensor:
        return call("bitwise_xor", other, self)  # type: ignore[no-any-return]

    def __lshift__(self, other: Any) -> Tensor:
        return call("bitwise_left_shift", self, other)  # type: ignore[no-any-return]

    def __rlshift__(self, other: Any) -> Tensor:
        return call("bitwise_left_shift", other, self)  # type: ignore[no-any-return]

    def __rshift__(self, other: Any) -> Tensor:
        return call("bitwise_right_shift", self, other)  # type: ignore[no-any-return]

    def __rrshift__(self, other: Any) -> Tensor:
        return call("bitwise_right_shift", other, self)  # type: ignore[no-any-return]

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return call("equal", self, other)  # type: ignore[no-any-return]

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return call("not_equal", self, other)  # type: ignore[no-any-return]

    def __lt__(self, other: Any) -> Tensor:
        return call("less", self, other)  # type: ignore[no-any-return]

    def __le__(self, other: Any) -> Tensor:
        return call("less_equal", self, other)  # type: ignore[no-any-return]

    def __gt__(self, other: Any) -> Tensor:
        return call("greater", self, other)  # type: ignore[no-any-return]

    def __ge__(self, other: Any) -> Tensor:
        return call("greater_equal", self, other)  # type: ignore[no-any-return]

    def __getitem__(self, key: Any) -> Tensor:
        return call("getitem", self, key)  # type: ignore[no-any-return]

    # Methods -----------------------------------------------------------------------------------------------------
    @property
    def T(self) -> Tensor:
        """The matrix transpose of a 2-d tensor (all axes reversed, as in NumPy)."""
        return call("transpose", self)  # type: ignore[no-any-return]

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        if self.ndim < 2:
            raise with_location(ShapeError(f"mT needs at least two axes; {self!r} has {self.ndim}"), capture())
        return call("swapaxes", self, -1, -2)  # type: ignore[no-any-return]

    @public
    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return call("sum", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return call("mean", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def var(self, axis: Any = None, keepdims: bool = False, correction: float = 0) -> Tensor:
        return call("var", self, axis, keepdims, correction)  # type: ignore[no-any-return]

    @public
    def std(self, axis: Any = None, keepdims: bool = False, correction: float = 0) -> Tensor:
        return call("std", self, axis, keepdims, correction)  # type: ignore[no-any-return]

    @public
    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return call("prod", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return call("max", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return call("min", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def any(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return call("any", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def all(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return call("all", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return call("argmax", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return call("argmin", self, axis, keepdims)  # type: ignore[no-any-return]

    @public
    def cumsum(self, axis: int | None = None) -> Tensor:
        return call("cumsum", self, axis)  # type: ignore[no-any-return]

    @public
    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        return call("clip", self, min, max)  # type: ignore[no-any-return]

    @public
    def astype(self, dtype: Any) -> Tensor:
        return call("astype", self, dtype)  # type: ignore[no-any-return]

    @public
    def reshape(self, *shape: Any) -> Tensor:
        return call("reshape", self, shape[0] if len(shape) == 1 else shape)  # type: ignore[no-any-return]

    @public
    def flatten(self) -> Tensor:
        return call("reshape", self, (-1,))  # type: ignore[no-any-return]

    @public
    def transpose(self, *axes: Any) -> Tensor:
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else (axes or None)
        return call("transpose", self, order)  # type: ignore[no-any-return]

    @public
    def squeeze(self, axis: Any = None) -> Tensor:
        return call("squeeze", self, axis)  # type: ignore[no-any-return]

    def backward(self, *_: Any, **__: Any) -> Any:
        """Always an error: gradients are tensors here, made by `gx.grad` or by an optimiser's `minimize`."""
        raise with_location(
            GraphError(
                f"{self!r} has no backward(): gradients are tensors like any other. gx.grad(loss, parameters) builds "
                "them; updates=optimizer.minimize(loss, parameters), given to gx.compile, makes a training step"
            ),
            capture(),
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise with_location(
            GraphError(
                f"{self!r} is symbolic and cannot be pickled: build the graph where it is needed, or "
                "export the program, program.export(path), and read it by gx.load(path)"
            ),
            capture(),
        )
