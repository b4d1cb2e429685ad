"""What derivatives are given and give back: a tensor, or a list, tuple or dict of tensors.

Answers follow the structure of what was asked for, seeds (cotangents, tangents) that of what they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphc.errors import GradientError, shown, with_location
from graphc.ir.data import number_of
from graphc.ir.location import capture
from graphc.ops.build import as_tensor, constant
from graphc.ops.tensor import Tensor

__all__ = ["Tensors", "checked_tensors"]


@dataclass(frozen=True)
class Tensors:
    """Float tensors in the structure in which they came. `keys` are those of a dict."""

    listed: list[Tensor]
    restore: Callable[[list[Any]], Any]  # puts as many results into that structure
    keys: tuple[Any, ...] | None = None
    is_alone: bool = False  # a tensor that stands in nothing

    def seeds(self, values: Any, role: str, of: str) -> list[Tensor | None]:
        """One cotangent or tangent for each tensor, of its shape and dtype; None stays. Raises GradientError.

        For a tensor on its own, a single array, list or scalar will do, or a list of one array. Numbers and lists of
        them take the tensor's dtype.
        """
        if isinstance(values, Mapping):
            if self.keys is None or set(values) != set(self.keys):
                wanted = "a sequence" if self.keys is None else f"a dict with {', '.join(map(repr, self.keys))}"
                raise _error(f"the {role}s are {wanted}, as the {of}s are, not a dict with {shown(list(values))}")
            seeds = [values[key] for key in self.keys]
        elif _is_one(values) or isinstance(values, str) or not isinstance(values, Iterable):
            seeds = [values]
        else:
            seeds = list(values)
            if self.is_alone and not (len(seeds) == 1 and _is_one(seeds[0])):
                seeds = [seeds]  # a list of numbers, or of lists of them
        if len(seeds) != len(self.listed):
            raise _error(f"{len(self.listed)} {of}(s) need as many {role}s; {len(seeds)} came")
        pairs = zip(seeds, self.listed, strict=True)
        return [None if seed is None else _checked_seed(seed, tensor, role, of) for seed, tensor in pairs]


def checked_tensors(value: Any, role: str) -> Tensors:
    """`value` taken apart. Raises GradientError for what is no float tensor; `role` says what it was to be."""
    found = _taken_apart(value)
    for tensor in found.listed:
        if not isinstance(tensor, Tensor):
            raise _error(f"{role} must be a tensor of the graph, not {shown(tensor)} ({type(tensor).__name__})")
        if not tensor.dtype.is_float:
            error = GradientError(
                f"{role} must be of a float dtype: {tensor!r} is {tensor.dtype}, which has no gradient"
            )
            raise with_location(error, tensor.location or capture())
    return found


def _taken_apart(value: Any) -> Tensors:
    if isinstance(value, Tensor) or not isinstance(value, Iterable):
        return Tensors([value], lambda results: results[0], is_alone=True)
    if isinstance(value, Mapping):
        keys = tuple(value)
        return Tensors(list(value.values()), lambda results: dict(zip(keys, results, strict=True)), keys)
    if isinstance(value, tuple):
        return Tensors(list(value), getattr(type(value), "_make", tuple))
    return Tensors(list(value), list)


def _is_one(value: Any) -> bool:
    """Whether `value` is one seed, and no sequence of them."""
    return value is None or isinstance(value, Tensor) or hasattr(value, "__array__")


def _checked_seed(value: Any, tensor: Tensor, role: str, of: str) -> Tensor:
    explicit = isinstance(value, Tensor) or (hasattr(value, "__array__") and number_of(value) is None)
    seed = as_tensor(value) if explicit else constant(value, tensor.dtype)
    if seed.type != tensor.type:
        raise _error(f"the {role} of {of} {tensor!r} must be {tensor.type}; {seed.type} came")
    return seed


def _error(message: str) -> GradientError:
    return with_location(GradientError(message), capture())
