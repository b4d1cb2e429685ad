"""`Module`: parameters and submodules by attribute, and a call that builds a graph.

A module owns `Parameter`s; calling it on tensors builds nodes, each time anew. `train()` and `eval()` choose which
graph the next call builds (dropout, batch statistics); graphs already built stay as they are. Names are dotted
paths of attributes as in PyTorch, so states go to and fro between the two as safetensors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from graphc.dsl.state_dict import load_arrays, read_state, save_arrays, write_state
from graphc.errors import DTypeError, GraphError, ShapeError, with_location
from graphc.ir.location import capture
from graphc.ops.tensor import Parameter, Tensor

__all__ = ["Module", "ModuleList", "Residual", "Sequential", "check_input"]

M = TypeVar("M", bound="Module")


class Module:
    """Base of all layers and models. Subclasses set attributes in `__init__` and define `forward`.

    >>> class Doubled(Module):
    ...     def __init__(self, inner):
    ...         self.inner = inner
    ...     def forward(self, x):
    ...         return 2 * self.inner(x)
    """

    training: bool = True
    forward: Callable[..., Any]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Build the graph of this module over `inputs`."""
        return self.forward(*inputs, **options)

    # Parts -------------------------------------------------------------------------------------------------------
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct submodules in the order they were set."""
        return ((name, part) for name, part in vars(self).items() if isinstance(part, Module))

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
        """Everything with a value, trainable or not, by dotted name, in definition order; shared ones once."""
        found: dict[str, Parameter] = {}
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, part in vars(module).items():
                if isinstance(part, Parameter) and id(part) not in seen:
                    seen.add(id(part))
                    found[f"{path}.{name}" if path else name] = part
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
        """Build training graphs from now on, here and in all submodules. Returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Build evaluation graphs from now on, here and in all submodules. Returns the module."""
        return self.train(False)

    # Values ------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of every value by dotted name."""
        return read_state(self.state())

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Set every value. All or nothing: raises InputError (names), ShapeError, DTypeError and changes nothing."""
        write_state(self.state(), values, type(self).__name__)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `state_dict()` to a safetensors file."""
        save_arrays(path, self.state_dict())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Set every value from a safetensors file. Raises FormatError, and what `load_state_dict` raises."""
        self.load_state_dict(load_arrays(path))

    # Text --------------------------------------------------------------------------------------------------------
    def describe(self) -> str:
        """The settings shown between the parentheses of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = list(self.named_children())
        if not children:
            return f"{type(self).__name__}({self.describe()})"
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in children]
        return "\n".join([f"{type(self).__name__}({self.describe()}", *lines, ")"])


class ModuleList(Module):
    """A list of modules, each a submodule under its index."""

    def __init__(self, modules: Any = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self: M, module: Any) -> M:
        """Add a module at the end. Raises GraphError for anything that is no module."""
        if not isinstance(module, Module):
            error = f"{type(self).__name__} holds modules, got {module!r}; wrap a function in a Module"
            raise with_location(GraphError(error), capture())
        setattr(self, str(len(_children(self))), module)
        return self

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
    """Modules applied one after the other.

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
        for module in self:
            x = module(x)
        return x


class Residual(Module):
    """`x + inner(x)`, or `shortcut(x) + inner(x)` where shapes change on the way."""

    def __init__(self, inner: Module, shortcut: Module | None = None) -> None:
        self.inner = inner
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
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
