"""`Optimizer`: from a loss, or gradients, to the updates of a compiled step.

`minimize(loss, parameters)` answers with the next value of each parameter, of the optimiser's own state beside it
(moments, named by position as in PyTorch) and of one shared step counter. State is made once for each parameter, so
several programs may train the same ones. Learning rate, weight decay and momentum are state as well: setting them acts
at the next step, and compiles nothing. Scalars (learning rate, bias correction) are computed once a step in float64 and
rounded once; 16-bit parameters are updated in float32, with float32 moments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from graphc.dsl.naming import Serving
from graphc.dsl.state_dict import Mismatch, read_state, storages, write_state
from graphc.dsl.variables import state
from graphc.errors import GraphError, ShapeError, shown, with_location
from graphc.ir.location import capture
from graphc.ir.public import make_public, public
from graphc.ir.types import DTYPES, DType
from graphc.ir.uncopied import Uncopied
from graphc.ops.build import as_tensor, cast
from graphc.ops.parameter import Parameter
from graphc.ops.tensor import Tensor
from graphc.optim.clip import clip_grad_norm, clip_grad_value
from graphc.optim.hyperparameter import Hyperparameter, check_at_least_zero, check_decay
from graphc.transforms.reverse import grad

__all__ = ["LearningRate", "Moments", "Optimizer", "Scalars", "Trained", "check_at_least_zero", "check_decay"]

LearningRate = float | Tensor | Callable[[Tensor], Tensor]
Trained = Iterable[Parameter] | LearningRate | None
Moments = dict[str, Tensor]
Scalars = dict[str, Tensor]

_FLOAT64 = DTYPES["float64"]


class Optimizer(Uncopied):
    """Base of all optimisers. A subclass names its `slots` and defines `scalars` and `rule`.

    `parameters` are those that `minimize` trains unless it is told others. `lr` is a number, a schedule (see
    `graphc.optim.schedules`) or a 0-d tensor, such as a `gx.state` that you set; as a number it may come first, too:
    `Adam(1e-3)`. `maximize` climbs instead. `clip_value`, then `clip_norm`, clip the gradients first.

    `lr` (a number), `weight_decay` and `momentum` are data of programs: `optimizer.lr = 1e-4` acts at the next step of
    all programs that were made with it, exported ones excepted, whose state holds their own. Everything else is part of
    the graph, and stands once updates were built.

    >>> optimizer = Adam(model.parameters(), lr=1e-3)
    >>> step = gx.compile([x, y], loss, updates=optimizer.minimize(loss))
    >>> optimizer.lr = 1e-4
    """

    slots: Any = ()  # names of moments: a tuple, or a property that answers with one
    counts_steps: Any = False  # whether `scalars` reads the step
    lr = Hyperparameter(may_follow=True)
    weight_decay = Hyperparameter()

    def __init__(
        self,
        parameters: Trained = None,
        lr: Any = 1e-3,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self._numbers: dict[str, Parameter] = {}
        self._moments: dict[Parameter, dict[str, Parameter]] = {}
        given = _as_rate(parameters)
        self.parameters = () if parameters is None or given is not None else tuple(_checked_parameters(parameters))
        if given is not None and lr != inspect.signature(type(self)).parameters["lr"].default:
            raise with_location(GraphError(f"the learning rate is given twice: {given!r}, {lr!r}"), capture())
        self.lr = lr if given is None else given
        self.weight_decay, self.maximize = weight_decay, maximize
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.count = self._own_state("step", np.zeros((), np.int64))

    def _own_state(self, name: str, value: Any) -> Parameter:
        made = state(name, value)
        made.home = Serving(None, f"{type(self).__name__}.{name}")
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        is_data = isinstance(getattr(type(self), name, None), Hyperparameter)
        if self.__dict__.get("_moments") and name in self.__dict__ and not is_data:
            error = (
                f"{name} of this {type(self).__name__} is part of the updates that were built: setting it would change "
                "no program. Make another optimiser; lr, weight_decay and momentum can be set at any time"
            )
            raise with_location(GraphError(error), capture())
        object.__setattr__(self, name, value)

    def tensor(self, name: str) -> Tensor:
        """A hyperparameter that is data ("weight_decay") as a 0-d float64 tensor: for `scalars`."""
        return self._numbers[name]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        make_public(cls, ("__init__",))

    # What subclasses define --------------------------------------------------------------------------------------
    def scalars(self, step: Tensor, lr: Tensor) -> Scalars:
        """What all parameters share: 0-d float64 tensors by name. `step` is 1 in the first step.

        "lr" is there of itself, and so are "weight_decay" and "momentum" where they are not 0.
        """
        return {}

    def rule(self, p: Tensor, g: Tensor, moments: Moments, scalars: Scalars) -> tuple[Tensor, Moments]:
        """The next value of the parameter `p` with gradient `g`, and of its moments."""
        raise NotImplementedError

    # What users call ---------------------------------------------------------------------------------------------
    @public
    def minimize(self, loss: Tensor, parameters: Iterable[Parameter] | None = None) -> dict[Parameter, Tensor]:
        """The updates that lower `loss`, for `gx.compile(..., updates=...)`: of `parameters`, or else of those that
        the optimiser was made for.

        Raises GraphError for what is no trainable parameter, GradientError where the loss has no gradient.

        >>> step = gx.compile([x, y], {"loss": loss}, updates=AdamW(lr=1e-3).minimize(loss, model.parameters()))
        """
        if parameters is None and not self.parameters:
            error = "minimize needs parameters: minimize(loss, model.parameters()), or Adam(model.parameters(), ...)"
            raise with_location(GraphError(error), capture())
        chosen = _checked_parameters(self.parameters if parameters is None else parameters)
        return self.apply(dict(zip(chosen, grad(loss, chosen), strict=True)))

    @public
    def apply(self, gradients: Mapping[Parameter, Tensor]) -> dict[Parameter, Tensor]:
        """The updates for gradients that you computed. Raises GraphError, ShapeError for ones that do not fit."""
        chosen = _checked_parameters(gradients)
        for parameter in chosen:
            _check_gradient(parameter, gradients[parameter])
        clipped = self._clipped(gradients)
        step = self.count + 1
        rate = self._learning_rate()
        scalars = {**self._numbers, **self.scalars(cast(step, _FLOAT64), rate), "lr": rate}
        rounded = {dtype: {name: cast(value, dtype) for name, value in scalars.items()} for dtype in map(_wide, chosen)}
        updates: dict[Parameter, Tensor] = {self.count: step} if self.counts_steps or callable(self.lr) else {}
        for parameter in chosen:
            updates.update(self._update(parameter, clipped[parameter], rounded[_wide(parameter)]))
        return updates

    def step(self, *_: Any, **__: Any) -> NoReturn:
        """Always an error: a step is what a compiled program does."""
        raise _elsewhere("step()")

    def zero_grad(self, *_: Any, **__: Any) -> NoReturn:
        """Always an error: gradients are computed anew by every step."""
        raise _elsewhere("zero_grad()")

    def state(self) -> dict[str, Parameter]:
        """The step counter, what is data ("lr"), and the moments as "0.exp_avg", by the parameter's position.

        A program calls them "AdamW.step", "AdamW.lr" and "encoder.0.weight.exp_avg".
        """
        found = {"step": self.count, **self._numbers}
        for index, moments in enumerate(self._moments.values()):
            found.update({f"{index}.{slot}": moment for slot, moment in moments.items()})
        return found

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of every value of `state()`."""
        return read_state(storages(self.state()))

    @public
    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Set every value of `state()`, or none: raises InputError (names), ShapeError, DTypeError.

        With `strict=False` names that are missing or unexpected are passed over; what they were is the answer. State is
        made by `minimize` or `apply`; before either, there is nothing to set, which is a GraphError.
        """
        if not self._moments:
            error = f"{self!r} has no state yet: call minimize or apply before load_state_dict"
            raise with_location(GraphError(error), capture())
        return write_state(storages(self.state()), values, type(self).__name__, strict)

    def _uncopied(self, what: str) -> str:
        name = type(self).__name__
        return (
            f"{self!r} cannot be {what}: it keeps state for certain parameters. Make another {name} for the others, "
            "and give it the values: other.load_state_dict(this.state_dict())"
        )

    def __repr__(self) -> str:
        hidden = ("count", "parameters")
        rest = {name: value for name, value in vars(self).items() if name[0] != "_" and name not in hidden}
        names = dict.fromkeys(("lr", "weight_decay", *self._numbers))
        told = {**{name: getattr(self, name) for name in names}, **rest}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in told.items())})"

    # How -------------------------------------------------------------------------------------------------------
    def _learning_rate(self) -> Tensor:
        if "lr" in self._numbers:
            return self.tensor("lr")
        rate = self.lr if isinstance(self.lr, Tensor) else as_tensor(self.lr(cast(self.count, _FLOAT64)))
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


def _as_rate(given: Any) -> Any:
    """What was given in the place of the parameters, if that is a learning rate."""
    if isinstance(given, Parameter):
        return None if given.trainable else given
    is_model = hasattr(given, "parameters")
    return given if isinstance(given, (Real, Tensor)) or (callable(given) and not is_model) else None


def _checked_parameters(parameters: Any) -> list[Parameter]:
    if isinstance(parameters, Parameter):
        parameters = (parameters,)
    if not isinstance(parameters, Iterable):
        error = f"an optimiser trains parameters, not {shown(parameters)}; pass model.parameters()"
        raise with_location(GraphError(error), capture())
    chosen = list(parameters)
    for item in chosen:
        _check_parameter(item)
    if len({id(item) for item in chosen}) != len(chosen):
        raise with_location(GraphError("a parameter is given to the optimiser twice"), capture())
    if not chosen:
        raise with_location(GraphError("there is nothing to train: the list of parameters is empty"), capture())
    return chosen


def _check_parameter(item: Any) -> None:
    if isinstance(item, dict):
        error = (
            "an optimiser has one group of parameters. Make one for each group, and join what they answer with: "
            "updates={**first.minimize(loss, some), **second.minimize(loss, others)}"
        )
    elif not isinstance(item, Parameter) or not item.dtype.is_float:
        error = f"an optimiser trains float parameters, not {shown(item)}; pass model.parameters()"
    elif not item.trainable:
        error = (
            f"{item!r} is not to be trained (trainable=False: a state, or frozen): leave it out, as "
            "model.parameters() does, or set its `trainable`"
        )
    else:
        return
    raise with_location(GraphError(error), capture())


def _elsewhere(what: str) -> GraphError:
    error = (
        f"an optimiser has no {what}: its step is part of a compiled program. "
        "step = gx.compile(inputs, loss, updates=optimizer.minimize(loss, parameters)) makes one, and each call of it "
        "computes gradients and updates the parameters"
    )
    return with_location(GraphError(error), capture())


def _check_gradient(parameter: Parameter, gradient: Tensor) -> None:
    if not isinstance(gradient, Tensor) or gradient.shape != parameter.shape or not gradient.dtype.is_float:
        wanted = f"a float tensor of shape {parameter.shape}"
        error = f"the gradient of {parameter!r} must be {wanted}, not {shown(gradient)}"
        raise with_location(ShapeError(error), capture())
