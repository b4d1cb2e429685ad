"""`Tensor`: a node with NumPy's operators, attributes and methods.

Each operator stands for the function of the same name in `FUNCTIONS`, so gradient rules read as mathematics.
A tensor is symbolic: it has no value until a program runs, hence no truth value, length-independent iteration only
over its first axis, and `==` compares element by element. Hashing is by identity. NumPy's functions build tensors, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


Method = Callable[["Tensor", Any], "Tensor"]


def _operator(name: str, function: str, *, turned: bool = False) -> Method:
    """The method `name` of an operator, which stands for `function`: of self and other, or `turned`."""

    def method(self: Tensor, other: Any) -> Tensor:
        return call(function, other, self) if turned else call(function, self, other)  # type: ignore[no-any-return]

    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    return method


def _operators(name: str, function: str) -> tuple[Method, Method]:
    """The methods of an operator for a tensor on its left, and on its right."""
    return _operator(f"__{name}__", function), _operator(f"__r{name}__", function, turned=True)


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
    __add__, __radd__ = _operators("add", "add")
    __sub__, __rsub__ = _operators("sub", "subtract")
    __mul__, __rmul__ = _operators("mul", "multiply")
    __truediv__, __rtruediv__ = _operators("truediv", "divide")
    __floordiv__, __rfloordiv__ = _operators("floordiv", "floor_divide")
    __mod__, __rmod__ = _operators("mod", "remainder")
    __pow__, __rpow__ = _operators("pow", "power")
    __matmul__, __rmatmul__ = _operators("matmul", "matmul")
    __and__, __rand__ = _operators("and", "bitwise_and")
    __or__, __ror__ = _operators("or", "bitwise_or")
    __xor__, __rxor__ = _operators("xor", "bitwise_xor")
    __lshift__, __rlshift__ = _operators("lshift", "bitwise_left_shift")
    __rshift__, __rrshift__ = _operators("rshift", "bitwise_right_shift")
    __eq__ = _operator("__eq__", "equal")  # type: ignore[assignment]
    __ne__ = _operator("__ne__", "not_equal")  # type: ignore[assignment]
    __lt__ = _operator("__lt__", "less")
    __le__ = _operator("__le__", "less_equal")
    __gt__ = _operator("__gt__", "greater")
    __ge__ = _operator("__ge__", "greater_equal")

    def __neg__(self) -> Tensor:
        return call("negative", self)  # type: ignore[no-any-return]

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return call("abs", self)  # type: ignore[no-any-return]

    def __invert__(self) -> Tensor:
        return call("bitwise_invert", self)  # type: ignore[no-any-return]

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
