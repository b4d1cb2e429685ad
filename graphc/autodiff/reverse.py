"""Reverse mode: cotangents flow from outputs to inputs, through the `vjp` rules of the ops.

Only nodes on a path from a requested input to an output are visited, and only the rules on such a path are called.
A zero cotangent is symbolic: it is the absence of an entry, and becomes a node only where it is the final answer.
Cotangents that meet at a fan-out are added left to right, in an order that depends on structure alone. Integer and
bool tensors and `stop_gradient` cut a path. The result is an ordinary graph, so it can be differentiated again; its
nodes carry the source line of the node they are the gradient of. Nothing recurses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import GradientError, GraphcError, InternalError, shown, with_location
from graphc.ir.collection import collection_paused
from graphc.ir.data import number_of
from graphc.ir.graph import topological
from graphc.ir.location import capture
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ir.types import TensorType
from graphc.ops.build import apply, as_tensor, constant, zeros
from graphc.ops.record import NO_GRADIENT, ZERO, op_of
from graphc.ops.tensor import Tensor
from graphc.ops.views import join, reshape_to

__all__ = [
    "checked_outputs", "checked_part", "checked_seeds", "checked_variables", "grad", "jacobian", "rule_error",
    "value_and_grad", "vjp",
]  # fmt: skip


def vjp(outputs: Any, inputs: Any, cotangents: Any) -> list[Tensor]:
    """The vector-Jacobian product: for each input, the cotangents pulled back through the outputs' Jacobian.

    `outputs` and `inputs` are float tensors or sequences of them; inputs may be intermediate results. `cotangents`
    holds for each output a tensor or array of its shape and dtype, or None for zero. The answer for an input has its
    shape and dtype; it is zeros where no path leads from it to an output with a cotangent.

    Raises GradientError: no float tensor, a cotangent of another shape or dtype, a path through an op without
    gradient.

    >>> x = input("x", (3,))
    >>> vjp([x * x], [x], [[1.0, 0.0, 0.0]])
    [<add: float32[3]>]
    """
    targets = checked_outputs(outputs)
    variables = checked_variables(inputs)
    seeds = checked_seeds(cotangents, targets, "cotangent", "output")
    with collection_paused():
        found = _pull_back(targets, variables, seeds)
    return [result if result is not None else zeros(v.type) for v, result in zip(variables, found, strict=True)]


def grad(loss: Tensor, wrt: Any) -> Any:
    """The gradient of the scalar `loss` with respect to `wrt`: a tensor, or a list, tuple or dict of tensors.

    The answer has the structure of `wrt`. A tensor that the loss does not depend on gets zeros.

    Raises GradientError: a loss that is no float scalar (give cotangents to `gx.vjp` for one that is not), an
    integer tensor in `wrt`, a path through an op without gradient.

    >>> x = input("x", (3,))
    >>> grad((x * x).sum(), [x])
    [<add: float32[3]>]
    """
    _check_loss(loss)
    variables, restore = _flatten(wrt)
    return restore(vjp([loss], variables, [1.0]))


def value_and_grad(loss: Tensor, wrt: Any) -> tuple[Tensor, Any]:
    """`(loss, grad(loss, wrt))`.

    >>> x = input("x", (3,))
    >>> value, gradient = value_and_grad((x * x).sum(), x)
    """
    return loss, grad(loss, wrt)


def jacobian(output: Tensor, wrt: Tensor) -> Tensor:
    """The matrix of derivatives of `output` by `wrt`, of shape `output.shape + wrt.shape`.

    One backward graph is built for each element of `output`, so this is for small outputs.

    >>> x = input("x", (3,))
    >>> jacobian(x * x, x).shape
    (3, 3)
    """
    (target,) = checked_outputs(output)
    (variable,) = checked_variables(wrt)
    shape = target.shape + variable.shape
    if not target.size:
        return zeros(variable.type.with_shape(shape))
    basis = np.eye(target.size).reshape((target.size, *target.shape))
    rows = [vjp(target, variable, constant(basis[i], target.dtype))[0] for i in range(target.size)]
    return reshape_to(join([reshape_to(row, (1, *variable.shape)) for row in rows], 0), shape)


# The sweep -------------------------------------------------------------------------------------------------------
def _pull_back(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The cotangent of each input; None where it is zero."""
    order = topological(outputs)
    active = _active(order, inputs)
    pending: dict[Node, list[Tensor]] = {}
    for output, seed in zip(outputs, seeds, strict=True):
        if seed is not None and output in active:
            pending.setdefault(output, []).append(seed)
    wanted: dict[Node, Tensor | None] = dict.fromkeys(inputs)
    for node in reversed(order):
        parts = pending.pop(node, None)
        if parts is None:
            continue
        since = next_serial()
        cotangent = _total(parts)
        if node in wanted:
            wanted[node] = cotangent
        built = [cotangent]
        for position, source in enumerate(node.inputs):
            if source in active:
                part = _pull_edge(node, position, cotangent)
                if part is not None:
                    pending.setdefault(source, []).append(part)
                    built.append(part)
        inherit_location(built, since, node.location)
    return [wanted[variable] for variable in inputs]


def _active(order: Iterable[Node], inputs: Iterable[Node]) -> set[Node]:
    """The float nodes whose value depends on an input through float values. A rule may still cut the path (ZERO)."""
    active: set[Node] = set(inputs)
    for node in order:
        if node not in active and node.dtype.is_float and any(source in active for source in node.inputs):
            active.add(node)
    return active


def _total(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = apply("add", total, part)
    return total


def _pull_edge(node: Any, position: int, cotangent: Tensor) -> Tensor | None:
    """The cotangent that `node` passes to its input at `position`; None for zero."""
    rule = op_of(node).vjp_rule(position)
    if rule is ZERO:
        return None
    source = node.inputs[position]
    if rule is NO_GRADIENT:
        raise rule_error(node, f"{node.op} has no gradient with respect to its input {position}, {source!r}")
    try:
        part = rule(cotangent, node, *node.inputs, **node.attrs)  # type: ignore[operator]
    except GradientError:
        raise
    except GraphcError as error:
        raise InternalError(f"the vjp rule of {node.op} failed for input {position} of {node!r}: {error}") from error
    return checked_part(part, source.type, f"the vjp rule of {node.op} for input {position}")


def checked_part(part: Any, type: TensorType, rule: str) -> Tensor:
    """What a rule gave, which must be a tensor of this type. Raises InternalError."""
    if not isinstance(part, Tensor) or part.type != type:
        came = part.type if isinstance(part, Tensor) else repr(part)
        raise InternalError(f"{rule} gave {came} where {type} belongs")
    return part


def rule_error(node: Node, reason: str) -> GradientError:
    """A GradientError at the user's line of `node` that says how to go round it."""
    advice = "; put gx.stop_gradient around it if no gradient should flow there"
    return with_location(GradientError(reason + advice), node.location)


# Checks ----------------------------------------------------------------------------------------------------------
def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, Tensor) or not isinstance(value, Iterable) else list(value)


def _checked_floats(value: Any, role: str) -> list[Tensor]:
    tensors = _listed(value)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise with_location(
                GradientError(f"{role} must be a tensor of the graph, not {shown(tensor)} ({type(tensor).__name__})"),
                capture(),
            )
        if not tensor.dtype.is_float:
            raise with_location(
                GradientError(f"{role} must be of a float dtype: {tensor!r} is {tensor.dtype}, which has no gradient"),
                tensor.location or capture(),
            )
    return tensors


def checked_outputs(value: Any) -> list[Tensor]:
    """`value` as a list of what can be differentiated. Raises GradientError."""
    return _checked_floats(value, "what is differentiated")


def checked_variables(value: Any) -> list[Tensor]:
    """`value` as a list of what one can differentiate by. Raises GradientError."""
    return _checked_floats(value, "what to differentiate with respect to")


def checked_seeds(values: Any, tensors: Sequence[Tensor], role: str, of: str) -> list[Tensor | None]:
    """One cotangent or tangent for each tensor, of its shape and dtype. Raises GradientError.

    For a single tensor, a single array or scalar will do. Python numbers and lists take the tensor's dtype.
    """
    single = isinstance(values, (Tensor, np.ndarray, np.generic, int, float)) or values is None
    seeds = [values] if single else list(values)
    if len(seeds) != len(tensors):
        raise with_location(GradientError(f"{len(tensors)} {of}(s) need as many {role}s; {len(seeds)} came"), capture())
    return [None if seed is None else _checked_seed(seed, t, role, of) for seed, t in zip(seeds, tensors, strict=True)]


def _checked_seed(value: Any, tensor: Tensor, role: str, of: str) -> Tensor:
    explicit = isinstance(value, Tensor) or (hasattr(value, "__array__") and number_of(value) is None)
    seed = as_tensor(value) if explicit else constant(value, tensor.dtype)
    if seed.type != tensor.type:
        raise with_location(
            GradientError(f"the {role} of {of} {tensor!r} must be {tensor.type}; {seed.type} came"), capture()
        )
    return seed


def _check_loss(loss: Any) -> None:
    (target,) = checked_outputs([loss])
    if target.shape != ():
        raise with_location(
            GradientError(
                f"grad needs a scalar loss; {target!r} has shape {target.shape}. Reduce it, as in loss.sum() or "
                "loss.mean(), or pass a cotangent of its shape via gx.vjp(outputs, inputs, cotangents)"
            ),
            target.location or capture(),
        )


def _flatten(wrt: Any) -> tuple[list[Any], Any]:
    """The tensors of `wrt`, and what puts a list of as many results into its structure."""
    if isinstance(wrt, Tensor):
        return [wrt], lambda results: results[0]
    if isinstance(wrt, Mapping):
        return list(wrt.values()), lambda results: dict(zip(wrt, results, strict=True))
    if isinstance(wrt, tuple):
        return list(wrt), getattr(type(wrt), "_make", tuple)
    return _listed(wrt), list
