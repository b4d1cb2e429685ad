"""`Module`: parameters and submodules by attribute, and a call that builds a graph.

A module owns `Parameter`s; calling it on tensors builds nodes, each time anew. `train()` and `eval()` choose which
graph the next call builds (dropout, batch statistics); graphs already built stay as they are. Names are dotted
paths of attributes as in PyTorch, so states go to and fro between the two as safetensors.
"""

from __future__ import annotations

import copy
import os
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from typing import Any, TypeVar

import numpy as np

from graphc.dsl.naming import Held, Place
from graphc.dsl.state_dict import Mismatch, load_arrays, read_state, save_arrays, storages, write_state
from graphc.errors import DTypeError, GraphError, ShapeError, shown, with_location
from graphc.ir.location import capture
from graphc.ir.public import make_public
from graphc.ops.build import as_tensor
from graphc.ops.parameter import Parameter
from graphc.ops.tensor import Tensor

__all__ = ["Module", "ModuleList", "Residual", "Sequential", "check_input"]

M = TypeVar("M", bound="Module")
L = TypeVar("L", bound="ModuleList")

_PLACE = "(place)"  # no attribute's name
SHOWN_DEPTH = 32  # of modules in modules that `repr` shows


class Module:
    """Base of all layers and models. Subclasses set attributes in `__init__` and define `forward`.

    Attributes that are modules or parameters belong to the module, and so do those in lists, tuples and dicts, nested
    or not: `self.layers = [Linear(2, 2)]` has the parameter `layers.0.weight`. Parameters are called by these paths,
    from the outermost module on, in programs, errors and files. `copy.deepcopy` makes a model of the same layers with
    parameters of its own, `copy.copy` one that shares them.

    >>> class Doubled(Module):
    ...     def __init__(self, inner):
    ...         self.inner = inner
    ...     def forward(self, x):
    ...         return 2 * self.inner(x)
    """

    training: bool = True
    forward: Callable[..., Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        make_public(cls, ("__init__",) if cls.__module__ == __name__ else ("__init__", "forward"))
        for name, value in vars(cls).items():
            if isinstance(value, (Module, Parameter)):
                error = f"{cls.__name__}.{name} would be shared by all {cls.__name__}s: set self.{name} in __init__"
                raise with_location(GraphError(error), capture())

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Build the graph of this module over `inputs`. Raises GraphError where modules nest too deep for Python."""
        self._hold(vars(self))
        try:
            return self.forward(*inputs, **options)
        except RecursionError:
            error = (
                f"modules call each other too deep for Python's stack of {sys.getrecursionlimit()} frames: build deep "
                "models of long Sequentials, which may nest to any depth, or raise sys.setrecursionlimit"
            )
            raise with_location(GraphError(error), capture()) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Set, deque)) and any(isinstance(part, (Module, Parameter)) for part in value):
            error = f"{type(self).__name__}.{name}: a {type(value).__name__} names no parts; use a list, tuple or dict"
            raise with_location(GraphError(error), capture())
        if name in vars(self):
            self._release(vars(self)[name])
        object.__setattr__(self, name, value)
        self._hold({name: value})

    def __delattr__(self, name: str) -> None:
        self._release(vars(self).get(name))
        object.__delattr__(self, name)

    @property
    def _place(self) -> Place:
        """Where this module stands in others. (It is kept beside the attributes, which are all the module's own.)"""
        found: Place | None = vars(self).get(_PLACE)
        if found is None:
            found = vars(self)[_PLACE] = Place(self)
        return found

    def _hold(self, attributes: Mapping[str, Any]) -> None:
        """Take what no living module holds. A part that holds this module in turn stays outside."""
        for name, part in _parts(attributes):
            if isinstance(part, Parameter):
                if part.home is None or (isinstance(part.home, Held) and not part.home.place.lives):
                    part.home = Held(self._place, name)
            elif part._place.is_free and self._place.outermost is not part._place:
                part._place.stand(self._place, name)

    def _release(self, value: Any) -> None:
        if isinstance(value, Parameter) and isinstance(value.home, Held) and value.home.place is self._place:
            value.home = None
        elif isinstance(value, Module) and value._place.outer is self._place:
            value._place.stand(None)

    # Parts -------------------------------------------------------------------------------------------------------
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct submodules in the order they were set; one in a list by its place there, "layers.0"."""
        return ((name, part) for name, part in _parts(vars(self)) if isinstance(part, Module))

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module (as "") and all below it, parents first, each once even where it is shared."""
        seen: set[int] = set()
        pending: list[tuple[str, Module]] = [("", self)]
        while pending:
            path, module = pending.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
            pending.extend(reversed(children))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, parents first."""
        return (module for _, module in self.named_modules())

    def state(self) -> dict[str, Parameter]:
        """Everything with a value, trainable or not, by dotted name, in definition order; shared ones once.

        Raises GraphError where two have one name, such as those under 1 and "1" in a dict.
        """
        found: dict[str, Parameter] = {}
        seen: set[int] = set()
        for path, module in self.named_modules():
            module._hold(vars(module))
            for name, part in _parts(vars(module)):
                if isinstance(part, Parameter) and id(part) not in seen:
                    seen.add(id(part))
                    key = f"{path}.{name}" if path else name
                    if key in found:
                        raise with_location(GraphError(f"two parameters are called {key!r}"), part.location)
                    found[key] = part
        return found

    def named_parameters(self) -> dict[str, Parameter]:
        """What an optimiser trains, by dotted name, in definition order."""
        return {name: part for name, part in self.state().items() if part.trainable}

    def parameters(self) -> list[Parameter]:
        """What an optimiser trains, in definition order."""
        return list(self.named_parameters().values())

    def named_buffers(self) -> dict[str, Parameter]:
        """State that is not trained (running statistics, frozen weights), by dotted name."""
        return {name: part for name, part in self.state().items() if not part.trainable}

    # Mode --------------------------------------------------------------------------------------------------------
    def train(self: M, mode: bool = True) -> M:
        """Build training graphs from now on, here and in all submodules. Returns the module.

        Graphs that were built and programs that were compiled stay as they are: a network to train and to evaluate is
        two programs, `model.train()` before the one is built and `model.eval()` before the other. Both read and write
        the same parameters.

        >>> step = gx.compile([x, y], mse_loss(model.train()(x), y), updates)
        >>> predict = gx.compile([x], model.eval()(x))
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Build evaluation graphs from now on, here and in all submodules. Returns the module.

        A compiled program does not change: see `train`.
        """
        return self.train(False)

    # Values ------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of every value by dotted name. A program of this module has the same names and values in its own."""
        return read_state(storages(self.state()))

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Set every value. All or nothing: raises InputError (names), ShapeError, DTypeError and changes nothing.

        With `strict=False` names that are missing or unexpected are passed over; what they were is the answer, as
        `missing_keys` and `unexpected_keys`.
        """
        return write_state(storages(self.state()), values, type(self).__name__, strict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `state_dict()` to a safetensors file."""
        save_arrays(path, self.state_dict())

    def load(self, path: str | os.PathLike[str], strict: bool = True) -> Mismatch:
        """Set every value from a safetensors file. Raises FormatError, and what `load_state_dict` raises."""
        return self.load_state_dict(load_arrays(path), strict)

    # Copies ------------------------------------------------------------------------------------------------------
    def __copy__(self: M) -> M:
        return self._with(vars(self))

    def __deepcopy__(self: M, memo: dict[int, Any]) -> M:
        own = [module for module in self.modules() if type(module).__deepcopy__ is Module.__deepcopy__]
        news = [memo.setdefault(id(module), module._with({})) for module in own]  # so that none below recurses
        try:
            for module, new in zip(own, news, strict=True):
                parts = {name: part for name, part in vars(module).items() if name != _PLACE}
                vars(new).update({name: copy.deepcopy(part, memo) for name, part in parts.items()})
                new._hold(vars(new))
        except RecursionError:
            error = f"{type(self).__name__} holds what is nested too deep to be copied"
            raise with_location(GraphError(error), capture()) from None
        return memo[id(self)]  # type: ignore[no-any-return]

    def _with(self: M, attributes: Mapping[str, Any]) -> M:
        """A module of this type with other attributes, which nothing holds."""
        new = type(self).__new__(type(self))
        vars(new).update({name: value for name, value in attributes.items() if name != _PLACE})
        return new

    def __reduce_ex__(self, protocol: Any) -> Any:
        error = (
            f"{type(self).__name__} cannot be pickled: model.save(path) writes its values as safetensors, and "
            "model.load(path) reads them into a model that was built again; program.export(path) needs no model"
        )
        raise with_location(GraphError(error), capture())

    # Text --------------------------------------------------------------------------------------------------------
    def describe(self) -> str:
        """The settings shown between the parentheses of `repr`."""
        return ""

    def __repr__(self) -> str:
        lines: list[str] = []
        above: list[Module] = []
        pending: list[tuple[str, Module | None]] = [("", self)]
        while pending:
            label, module = pending.pop()
            indent = "  " * len(above)
            if module is None:
                above.pop()
                lines.append(f"{indent[2:]})")
                continue
            children = list(module.named_children()) if type(module).__repr__ is Module.__repr__ else []
            hidden = children and (len(above) == SHOWN_DEPTH or any(module is outer for outer in above))
            if hidden or not children:
                text = f"{type(module).__name__}(...)" if hidden else module._short()
                lines.append(f"{indent}{label}" + text.replace("\n", f"\n{indent}"))
                continue
            lines.append(f"{indent}{label}{type(module).__name__}({module.describe()}")
            above.append(module)
            pending += [("", None), *((f"({name}): ", child) for name, child in reversed(children))]
        return "\n".join(lines)

    def _short(self) -> str:
        own = type(self).__repr__ is not Module.__repr__
        return repr(self) if own else f"{type(self).__name__}({self.describe()})"


def _parts(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Module | Parameter]]:
    """The modules and parameters among attributes, and in the lists, tuples and dicts there, by name, in order."""
    containers: set[int] = set()
    pending: list[tuple[str, Any]] = list(attributes.items())[::-1]
    while pending:
        name, value = pending.pop()
        if isinstance(value, (Module, Parameter)):
            yield name, value
        elif isinstance(value, (list, tuple, dict)) and id(value) not in containers:
            containers.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            kinds = (Module, Parameter, list, tuple, dict)
            pending += reversed([(f"{name}.{key}", part) for key, part in items if isinstance(part, kinds)])


class ModuleList(Module):
    """A list of modules, each a submodule under its index. It holds them; what calls them is up to whoever owns it."""

    def __init__(self, modules: Any = ()) -> None:
        for index, module in enumerate(modules):
            self._set(index, module)

    def append(self: L, module: Any) -> L:
        """Add a module at the end. Raises GraphError for anything that is no module."""
        self._set(len(_children(self)), module)
        return self

    def _set(self, index: int, module: Any) -> None:
        if not isinstance(module, Module):
            error = f"{type(self).__name__} holds modules, got {shown(module)}; wrap a function in a Module"
            raise with_location(GraphError(error), capture())
        setattr(self, str(index), module)

    def __len__(self) -> int:
        return len(_children(self))

    def __iter__(self) -> Iterator[Module]:
        return iter(_children(self))

    def __getitem__(self, index: int) -> Module:
        return _children(self)[index]


def _children(module: Module) -> list[Module]:
    """The direct submodules of `module`, in order."""
    return [child for _, child in module.named_children()]


class Sequential(ModuleList):
    """Modules applied one after the other. Sequentials may nest to any depth.

    >>> from graphc import nn
    >>> nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    Sequential(
      (0): Linear(in_features=10, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=1, bias=True)
    )
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        pending = [iter(self)]
        while pending:
            module = next(pending[-1], None)
            if module is None:
                pending.pop()
            elif isinstance(module, Sequential) and _is_plain(type(module)):
                pending.append(iter(module))
            else:
                x = module(x)
        return x


def _is_plain(kind: type[Sequential]) -> bool:
    """True if calling a Sequential of this kind does no more than to apply its modules."""
    return (
        kind.forward is Sequential.forward and kind.__call__ is Module.__call__ and kind.__iter__ is ModuleList.__iter__
    )


class Residual(Module):
    """`x + inner(x)`, or `shortcut(x) + inner(x)` where shapes change on the way."""

    def __init__(self, inner: Module, shortcut: Module | None = None) -> None:
        self.inner = inner
        self.shortcut = shortcut

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        y: Tensor = self.inner(x)
        straight: Tensor = x if self.shortcut is None else self.shortcut(x)
        if y.shape != straight.shape:
            error = f"Residual adds {straight.shape} and {y.shape}: give it a shortcut that makes the shapes equal"
            raise with_location(ShapeError(error), capture())
        return straight + y


def check_input(module: Module, x: Any, layout: str, ndims: Collection[int] | None, axis: int, size: int) -> None:
    """Raise an error that names the module unless `x` is a float tensor with `ndims` axes and `size` along `axis`."""
    if not isinstance(x, Tensor):
        raise with_location(GraphError(f"{module!r} takes a tensor, got {type(x).__name__}"), capture())
    if not x.dtype.is_float:
        error = f'{module!r} takes floats, got {x.type}; convert with x.astype("float32")'
        raise with_location(DTypeError(error), capture())
    if (ndims is not None and x.ndim not in ndims) or not -x.ndim <= axis < x.ndim or x.shape[axis] != size:
        raise with_location(ShapeError(f"{module!r} takes inputs of shape {layout}, got {x.type}"), capture())
