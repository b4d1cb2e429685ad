"""`Optimizer`: from a loss, or gradients, to the updates of a compiled step.

`minimize(loss, parameters)` answers with the next value of each parameter, of the optimiser's own state beside it
(moments, named by position as in PyTorch) and of one shared step counter. State is made once for each parameter, so
several programs may train the same ones. Scalars (learning rate, bias correction) are computed once a step in
float64 and rounded once; 16-bit parameters are updated in float32, with float32 moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from graphc.autodiff.reverse import grad
from graphc.dsl.naming import Serving
from graphc.dsl.state_dict import Mismatch, read_state, storages, write_state
from graphc.dsl.variables import state
from graphc.errors import GraphError, ShapeError, with_location
from graphc.ir.location import capture
from graphc.ir.types import DTYPES, DType
from graphc.ops.build import as_tensor, cast, constant
from graphc.ops.tensor import Parameter, Tensor
from graphc.optim.clip import clip_grad_norm, clip_grad_value

__all__ = ["LearningRate", "Moments", "Optimizer", "Scalars", "check_at_least_zero", "check_decay"]

LearningRate = float | Tensor | Callable[[Tensor], Tensor]
Moments = dict[str, Tensor]
Scalars = dict[str, Tensor]

_FLOAT64 = DTYPES["float64"]


class Optimizer:
    """Base of all optimisers. A subclass names its `slots` and defines `scalars` and `rule`.

    `lr` is a number, a schedule (see `graphc.optim.schedules`) or a 0-d tensor, such as a `gx.state` that you set.
    `maximize` climbs instead. `clip_value`, then `clip_norm`, clip the gradients first.
    """

    slots: tuple[str, ...] = ()
    counts_steps: bool = False

    def __init__(
        self,
        lr: Any,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        if isinstance(lr, Real):
            check_at_least_zero("lr", float(lr))
        elif not isinstance(lr, Tensor) and not callable(lr):
            raise GraphError(f"lr is a number, a schedule or a 0-d tensor, not {lr!r}")
        check_at_least_zero("weight_decay", weight_decay)
        self.lr: Any = lr
        self.weight_decay, self.maximize = weight_decay, maximize
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.counts_steps = self.counts_steps or callable(lr)
        self.step = state("step", np.zeros((), np.int64))
        self.step.home = Serving(None, "step")
        self._moments: dict[Parameter, dict[str, Parameter]] = {}

    # What subclasses define --------------------------------------------------------------------------------------
    def scalars(self, step: Tensor, lr: Tensor) -> Scalars:
        """What all parameters share: 0-d float64 tensors by name. `step` is 1 in the first step."""
        return {"lr": lr}

    def rule(self, p: Tensor, g: Tensor, moments: Moments, scalars: Scalars) -> tuple[Tensor, Moments]:
        """The next value of the parameter `p` with gradient `g`, and of its moments."""
        raise NotImplementedError

    # What users call ---------------------------------------------------------------------------------------------
    def minimize(self, loss: Tensor, parameters: Iterable[Parameter]) -> dict[Parameter, Tensor]:
        """The updates that lower `loss`, for `gx.compile(..., updates=...)`.

        Raises GraphError for what is no trainable parameter, GradientError where the loss has no gradient.

        >>> step = gx.compile([x, y], {"loss": loss}, updates=AdamW(lr=1e-3).minimize(loss, model.parameters()))
        """
        chosen = _checked_parameters(parameters)
        return self.apply(dict(zip(chosen, grad(loss, chosen), strict=True)))

    def apply(self, gradients: Mapping[Parameter, Tensor]) -> dict[Parameter, Tensor]:
        """The updates for gradients that you computed. Raises GraphError, ShapeError for ones that do not fit."""
        chosen = _checked_parameters(gradients)
        for parameter in chosen:
            _check_gradient(parameter, gradients[parameter])
        clipped = self._clipped(gradients)
        step = self.step + 1
        scalars = self.scalars(cast(step, _FLOAT64), self._learning_rate())
        rounded = {dtype: {name: cast(value, dtype) for name, value in scalars.items()} for dtype in map(_wide, chosen)}
        updates: dict[Parameter, Tensor] = {self.step: step} if self.counts_steps else {}
        for parameter in chosen:
            updates.update(self._update(parameter, clipped[parameter], rounded[_wide(parameter)]))
        return updates

    def state(self) -> dict[str, Parameter]:
        """The step counter, and the moments as "0.exp_avg": the parameter's position and the slot's name."""
        found = {"step": self.step}
        for index, moments in enumerate(self._moments.values()):
            found.update({f"{index}.{slot}": moment for slot, moment in moments.items()})
        return found

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of every value of `state()`."""
        return read_state(storages(self.state()))

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Set every value of `state()`, or none: raises InputError (names), ShapeError, DTypeError.

        With `strict=False` names that are missing or unexpected are passed over; what they were is the answer. State is
        made by `minimize` or `apply`; before either, there is nothing to set, which is a GraphError.
        """
        if not self._moments:
            raise GraphError(f"{self!r} has no state yet: call minimize or apply before load_state_dict")
        return write_state(storages(self.state()), values, type(self).__name__, strict)

    # A copy could tell neither which parameters it is for nor whose state it holds.
    def __copy__(self) -> Any:
        raise self._uncopied("copied")

    def __deepcopy__(self, memo: Any) -> Any:
        raise self._uncopied("copied")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise self._uncopied("pickled")

    def _uncopied(self, what: str) -> GraphError:
        name = type(self).__name__
        message = (
            f"{self!r} cannot be {what}: it keeps state for certain parameters. Make another {name} for the others, "
            "and give it the values: other.load_state_dict(this.state_dict())"
        )
        return with_location(GraphError(message), capture())

    def __repr__(self) -> str:
        hidden = ("step", "counts_steps", "slots")
        shown = {name: value for name, value in vars(self).items() if name[0] != "_" and name not in hidden}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    # How -------------------------------------------------------------------------------------------------------
    def _learning_rate(self) -> Tensor:
        if isinstance(self.lr, Real):
            return constant(self.lr, _FLOAT64)
        rate = self.lr if isinstance(self.lr, Tensor) else as_tensor(self.lr(cast(self.step, _FLOAT64)))
        if rate.shape != ():
            raise with_location(ShapeError(f"a learning rate is a 0-d tensor, not {rate!r}"), capture())
        return cast(rate, _FLOAT64)

    def _clipped(self, gradients: Mapping[Parameter, Tensor]) -> Mapping[Parameter, Tensor]:
        if self.clip_value is not None:
            gradients = clip_grad_value(gradients, self.clip_value)
        if self.clip_norm is not None:
            gradients = clip_grad_norm(gradients, self.clip_norm)
        return gradients

    def _update(self, parameter: Parameter, gradient: Tensor, scalars: Scalars) -> dict[Parameter, Tensor]:
        dtype = _wide(parameter)
        if parameter not in self._moments:
            made = {slot: state(slot, np.zeros(parameter.shape, dtype.numpy)) for slot in self.slots}
            for slot, moment in made.items():
                moment.home = Serving(parameter, slot)
            self._moments[parameter] = made
        stored = self._moments[parameter]
        p, g = cast(parameter, dtype), cast(gradient, dtype)
        value, moments = self.rule(p, -g if self.maximize else g, dict(stored), scalars)
        updates: dict[Parameter, Tensor] = {parameter: cast(value, parameter.dtype)}
        updates.update({stored[slot]: moment for slot, moment in moments.items()})
        return updates


def _wide(parameter: Tensor) -> DType:
    """The dtype in which a parameter is updated."""
    return DTYPES["float32"] if parameter.dtype.is_low_precision else parameter.dtype


def _checked_parameters(parameters: Iterable[Parameter]) -> list[Parameter]:
    if isinstance(parameters, Parameter):
        parameters = (parameters,)
    chosen = list(parameters)
    for item in chosen:
        if not isinstance(item, Parameter) or not item.dtype.is_float:
            error = f"an optimiser trains float parameters, not {item!r}; pass model.parameters()"
            raise with_location(GraphError(error), capture())
        if not item.trainable:
            error = (
                f"{item!r} is not to be trained (trainable=False: a state, or frozen): leave it out, as "
                "model.parameters() does, or set its `trainable`"
            )
            raise with_location(GraphError(error), capture())
    if len({id(item) for item in chosen}) != len(chosen):
        raise with_location(GraphError("a parameter is given to the optimiser twice"), capture())
    if not chosen:
        raise with_location(GraphError("there is nothing to train: the list of parameters is empty"), capture())
    return chosen


def _check_gradient(parameter: Parameter, gradient: Tensor) -> None:
    if not isinstance(gradient, Tensor) or gradient.shape != parameter.shape or not gradient.dtype.is_float:
        error = f"the gradient of {parameter!r} must be a float tensor of shape {parameter.shape}, not {gradient!r}"
        raise with_location(ShapeError(error), capture())


def check_at_least_zero(name: str, value: float) -> None:
    """Raise GraphError unless `value` is a number >= 0."""
    if not value >= 0:
        raise GraphError(f"{name} must be at least 0, not {value!r}")


def check_decay(name: str, value: float) -> None:
    """Raise GraphError unless `value` lies in [0, 1)."""
    if not 0 <= value < 1:
        raise GraphError(f"{name} must lie in [0, 1), not {value!r}")
