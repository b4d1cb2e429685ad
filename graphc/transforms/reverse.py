"""Reverse mode: cotangents flow from outputs to inputs, through the `vjp` rules of the ops.

Only nodes on a path from a requested input to an output are visited, and only the rules on such a path are called.
A zero cotangent is symbolic: it is the absence of an entry, and becomes a node only where it is the final answer.
Cotangents that meet at a fan-out are added left to right, in an order that depends on structure alone. Integer and
bool tensors and `stop_gradient` cut a path. The result is an ordinary graph, so it can be differentiated again; its
nodes carry the source line of the node they are the gradient of. Nothing recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any

import numpy as np

from graphc.errors import GradientError, GraphcError, InternalError, with_location
from graphc.ir.collection import collection_paused
from graphc.ir.graph import topological
from graphc.ir.location import capture
from graphc.ir.node import Node, Results, inherit_location, next_serial
from graphc.ir.public import public
from graphc.ir.types import TensorType
from graphc.ops.build import apply, constant, parts_of, zeros
from graphc.ops.primitives.views import join, reshape_to
from graphc.ops.record import NO_GRADIENT, OF_ITS_BODY, ZERO, Joint, Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.transforms.bodies import pull_through
from graphc.transforms.flat import warn_if_flat
from graphc.transforms.structure import checked_tensors

__all__ = ["checked_part", "grad", "jacobian", "rule_error", "value_and_grad", "vjp"]


Cotangent = Tensor | tuple[Tensor | None, ...]  # of a node that has several results, one or none for each
_OUTPUTS, _VARIABLES = "what is differentiated", "what to differentiate with respect to"


@public
def vjp(outputs: Any, inputs: Any, cotangents: Any) -> Any:
    """The vector-Jacobian product: for each input, the cotangents pulled back through the outputs' Jacobian.

    `outputs` and `inputs` are float tensors, or lists, tuples or dicts of them; inputs may be intermediate results.
    `cotangents` has the structure of `outputs` (a sequence will do) and holds for each a tensor or array of its shape
    and dtype, or None for zero. The answer has the structure of `inputs`, and for each its shape and dtype; it is zeros
    where no path leads from it to an output with a cotangent.

    Raises GradientError: no float tensor, a cotangent of another shape or dtype, a path through an op without
    gradient.

    >>> x = input("x", (3,))
    >>> vjp([x * x], [x], [[1.0, 0.0, 0.0]])
    [<add: float32[3]>]
    >>> vjp(x * x, x, [1.0, 0.0, 0.0])
    <add: float32[3]>
    """
    targets, variables = checked_tensors(outputs, _OUTPUTS), checked_tensors(inputs, _VARIABLES)
    seeds = targets.seeds(cotangents, "cotangent", "output")
    return variables.restore(_pulled_back(targets.listed, variables.listed, seeds))


@public
def grad(loss: Tensor, wrt: Any) -> Any:
    """The gradient of the scalar `loss` with respect to `wrt`: a tensor, or a list, tuple or dict of tensors.

    The answer has the structure of `wrt`. A tensor that the loss does not depend on gets zeros. So it does where the
    loss is piecewise constant in it (an accuracy, a count, anything rounded): if that is so for all of `wrt`, a
    GraphcWarning says it, once for a line, and names the op that cuts the way. None comes where `gx.stop_gradient`
    cuts it.

    Raises GradientError: a loss that is no float scalar (give cotangents to `gx.vjp` for one that is not), an
    integer tensor in `wrt`, a path through an op without gradient.

    >>> x = input("x", (3,))
    >>> grad((x * x).sum(), [x])
    [<add: float32[3]>]
    """
    _check_loss(loss)
    variables = checked_tensors(wrt, _VARIABLES)
    gradients = _pulled_back([loss], variables.listed, [constant(1.0, loss.dtype)], warn_if_flat)
    return variables.restore(gradients)


@public
def value_and_grad(loss: Tensor, wrt: Any) -> tuple[Tensor, Any]:
    """`(loss, grad(loss, wrt))`.

    >>> x = input("x", (3,))
    >>> value, gradient = value_and_grad((x * x).sum(), x)
    """
    return loss, grad(loss, wrt)


@public
def jacobian(output: Any, wrt: Any) -> Any:
    """The matrix of derivatives of `output` by `wrt`, of shape `output.shape + wrt.shape`.

    Both are a tensor, or a list, tuple or dict of tensors: the answer has the structure of `output`, and in it that of
    `wrt`. One backward graph is built for each element of `output`, so this is for small outputs. Raises GradientError.

    >>> x = input("x", (3,))
    >>> jacobian(x * x, x).shape
    (3, 3)
    """
    targets, variables = checked_tensors(output, _OUTPUTS), checked_tensors(wrt, _VARIABLES)
    return targets.restore([variables.restore(_jacobians(target, variables.listed)) for target in targets.listed])


def _jacobians(target: Tensor, variables: list[Tensor]) -> list[Tensor]:
    """The Jacobian of `target` by each of `variables`."""
    shapes = [target.shape + variable.shape for variable in variables]
    if not target.size:
        pairs = zip(variables, shapes, strict=True)
        return [zeros(variable.type.with_shape(shape)) for variable, shape in pairs]
    basis = np.eye(target.size).reshape((target.size, *target.shape))
    rows = [_pulled_back([target], variables, [constant(unit, target.dtype)]) for unit in basis]
    return [
        reshape_to(join([reshape_to(row, (1, *row.shape)) for row in column], 0), shape)
        for column, shape in zip(zip(*rows, strict=True), shapes, strict=True)
    ]


# The sweep -------------------------------------------------------------------------------------------------------
def _pulled_back(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    if_all_are_zero: Callable[[Sequence[Tensor], Sequence[Tensor]], None] | None = None,
) -> list[Tensor]:
    """The cotangent of each input."""
    with collection_paused():
        found = _pull_back(outputs, inputs, seeds)
    if if_all_are_zero is not None and all(result is None for result in found):
        if_all_are_zero(outputs, inputs)
    return [result if result is not None else zeros(v.type) for v, result in zip(inputs, found, strict=True)]


def _pull_back(outputs: Sequence[Node], inputs: Sequence[Node], seeds: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The cotangent of each input; None where it is zero."""
    order = topological(outputs)
    active = _active(order, inputs)
    pending: dict[Node, list[Tensor]] = {}
    for output, seed in zip(outputs, seeds, strict=True):
        if seed is not None and output in active:
            pending.setdefault(output, []).append(seed)
    wanted: dict[Node, Tensor | None] = dict.fromkeys(inputs)
    several: dict[Node, dict[int, Tensor]] = {}  # the cotangents of the parts of a node that has several results
    for node in reversed(order):
        since, built = next_serial(), list[Tensor]()
        cotangent: Cotangent
        if isinstance(node, Results):
            if node not in several:
                continue
            cotangent = tuple(several[node].get(index) for index in range(len(node.type.parts)))
        elif (parts := pending.pop(node, None)) is not None:
            cotangent = _total(parts)
            built.append(cotangent)
            if node in wanted:
                wanted[node] = cotangent
            if op_of(node).kind is Kind.PART and node.inputs[0] in active:
                several.setdefault(node.inputs[0], {})[node.attrs["index"]] = cotangent
        else:
            continue
        for position, part in _pulled(node, cotangent, active):
            pending.setdefault(node.inputs[position], []).append(part)
            built.append(part)
        inherit_location(built, since, node.location)
    return [wanted[variable] for variable in inputs]


def _active(order: Iterable[Node], inputs: Iterable[Node]) -> set[Node]:
    """The float nodes whose value depends on an input through float values. A rule may still cut the path (ZERO)."""
    active: set[Node] = set(inputs)
    for node in order:
        if node not in active and node.has_floats and any(source in active for source in node.inputs):
            active.add(node)
    return active


def _total(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = apply("add", total, part)
    return total


def _pulled(node: Any, cotangent: Cotangent, active: Set[Node]) -> Iterator[tuple[int, Tensor]]:
    """The positions of active inputs, each with the cotangent that `node` passes to it; not those that get zero."""
    op = op_of(node)
    if op.kind is Kind.PART:
        return
    wanted = [position for position, source in enumerate(node.inputs) if source in active]
    if op.vjp is OF_ITS_BODY:
        through = pull_through(node, cotangent, set(wanted), _pull_back)  # type: ignore[arg-type]
        yield from ((p, _checked(through[p], node, p)) for p in wanted if through[p] is not None)
        return
    if isinstance(op.vjp, Joint):
        parts = _ruled(op.vjp.rule, node, cotangent, "its inputs")
        given = (position for position in wanted if parts[position] is not None)
        yield from ((position, _checked(parts[position], node, position)) for position in given)
        return
    for position in wanted:
        rule = op.vjp_rule(position)
        if rule is NO_GRADIENT:
            source = node.inputs[position]
            raise rule_error(node, f"{node.op} has no gradient with respect to its input {position}, {source!r}")
        if rule is not ZERO:
            yield position, _checked(_ruled(rule, node, cotangent, f"input {position}"), node, position)


def _ruled(rule: Any, node: Any, cotangent: Cotangent, what: str) -> Any:
    """What a vjp rule answers with."""
    try:
        return rule(cotangent, parts_of(node) if isinstance(node, Results) else node, *node.inputs, **node.attrs)
    except GradientError:
        raise
    except GraphcError as error:
        raise InternalError(f"the vjp rule of {node.op} failed for {what} of {node!r}: {error}") from error


def _checked(part: Any, node: Node, position: int) -> Tensor:
    return checked_part(part, node.inputs[position].type, f"the vjp rule of {node.op} for input {position}")


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
def _check_loss(loss: Any) -> None:
    (target,) = checked_tensors([loss], _OUTPUTS).listed
    if target.shape != ():
        raise with_location(
            GradientError(
                f"grad needs a scalar loss; {target!r} has shape {target.shape}. Reduce it, as in loss.sum() or "
                "loss.mean(), or pass a cotangent of its shape via gx.vjp(outputs, inputs, cotangents)"
            ),
            target.location or capture(),
        )
