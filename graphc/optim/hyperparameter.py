"""`Hyperparameter`: an attribute of an optimiser that compiled programs read from their state.

Setting it changes the next step of every program that was made with the optimiser, and compiles nothing. Whether a term
is there at all (a weight decay of 0 is not) is part of the graph, though, and stands once updates were built.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from graphc.errors import GraphError, shown, with_location
from graphc.ir.location import capture
from graphc.ops.tensor import Tensor

__all__ = ["Hyperparameter", "check_at_least_zero", "check_decay"]

_NUMBERS = (Real, np.number)


class Hyperparameter:
    """A number >= 0, kept as a 0-d float64 state unless it is 0. `may_follow`: or a schedule, or a tensor.

    Raises GraphError for what is neither, and for a change of kind after updates were built.
    """

    def __init__(self, may_follow: bool = False) -> None:
        self.may_follow = may_follow

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        if optimizer is None:
            return self
        held = optimizer._numbers.get(self.name)
        return optimizer.__dict__[f"_{self.name}"] if held is None else float(held.value)

    def __set__(self, optimizer: Any, value: Any) -> None:
        is_number = self._checked(value)
        is_data = is_number and (self.may_follow or value != 0)
        if optimizer._moments and is_data != (self.name in optimizer._numbers):
            raise with_location(GraphError(self._fixed(optimizer, value)), capture())
        if not is_data:
            optimizer._numbers.pop(self.name, None)
            optimizer.__dict__[f"_{self.name}"] = value
        elif self.name in optimizer._numbers:
            optimizer._numbers[self.name].value = np.float64(value)
        else:
            optimizer._numbers[self.name] = optimizer._own_state(self.name, np.array(value, np.float64))

    def _checked(self, value: Any) -> bool:
        """True for a number. Raises GraphError for what cannot be."""
        if isinstance(value, _NUMBERS) or not self.may_follow:
            check_at_least_zero(self.name, value)
            return True
        if not isinstance(value, Tensor) and not callable(value):
            raise with_location(
                GraphError(f"{self.name} is a number, a schedule or a 0-d tensor, not {shown(value)}"), capture()
            )
        return False

    def _fixed(self, optimizer: Any, value: Any) -> str:
        present = getattr(optimizer, self.name)
        kind = "a number" if self.name in optimizer._numbers else "what it is" if self.may_follow else "0"
        return (
            f"{self.name} was {kind} ({present!r}) when updates were built, which is part of the graph: it cannot "
            f"become {shown(value)}; make another optimiser"
        )


def check_at_least_zero(name: str, value: Any) -> None:
    """Raise GraphError unless `value` is a number >= 0."""
    if not isinstance(value, _NUMBERS) or not float(value) >= 0:
        raise with_location(GraphError(f"{name} must be a number of at least 0, not {shown(value)}"), capture())


def check_decay(name: str, value: Any) -> None:
    """Raise GraphError unless `value` lies in [0, 1)."""
    if not isinstance(value, _NUMBERS) or not 0 <= float(value) < 1:
        raise with_location(GraphError(f"{name} must lie in [0, 1), not {shown(value)}"), capture())
