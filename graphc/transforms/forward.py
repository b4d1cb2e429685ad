"""Forward mode: tangents flow from inputs to outputs, through the `jvp` rules of the ops.

A zero tangent is symbolic (None) until it is the final answer. Only nodes between an input and an output are visited.
Second-order products combine both modes: `hvp` pushes a vector through the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.errors import GradientError, GraphcError, InternalError
from graphc.ir.graph import topological
from graphc.ir.node import Node, Results, inherit_location, next_serial
from graphc.ir.public import public
from graphc.ops.build import apply, parts_of, zeros
from graphc.ops.record import NO_GRADIENT, OF_ITS_BODY, ZERO, Jvp, Kind, Op, op_of
from graphc.ops.tensor import Tensor
from graphc.transforms.bodies import push_through
from graphc.transforms.reverse import checked_part, grad, jacobian, rule_error
from graphc.transforms.structure import checked_tensors

__all__ = ["hessian", "hvp", "jvp"]

Tangents = Sequence[Tensor | None]


@public
def jvp(outputs: Any, inputs: Any, tangents: Any) -> Any:
    """The Jacobian-vector product: for each output, its change when the inputs move along their tangents.

    `outputs` and `inputs` are float tensors, or lists, tuples or dicts of them; `tangents` has the structure of
    `inputs` (a sequence will do) and holds for each a tensor or array of its shape and dtype, or None for zero. The
    answer has the structure of `outputs`, and for each its shape and dtype. An input that is an intermediate result
    moves along its tangent alone: what it depends on is not followed through it.

    Raises GradientError: no float tensor, a tangent of another shape or dtype, a path through an op without
    gradient.

    >>> x = input("x", (3,))
    >>> jvp([x * x], [x], [[1.0, 0.0, 0.0]])
    [<add: float32[3]>]
    >>> jvp(x * x, x, [1.0, 0.0, 0.0])
    <add: float32[3]>
    """
    targets = checked_tensors(outputs, "what is differentiated")
    variables = checked_tensors(inputs, "what to differentiate with respect to")
    seeds = variables.seeds(tangents, "tangent", "input")
    return targets.restore(_pushed_forward(targets.listed, variables.listed, seeds))


@public
def hvp(loss: Tensor, inputs: Any, vectors: Any) -> Any:
    """The Hessian of the scalar `loss` by `inputs`, times `vectors`; one product for each input.

    `inputs` is a tensor, or a list, tuple or dict of tensors, and so is the answer. `vectors` holds for each a tensor
    or array of its shape and dtype, or None for zero. The Hessian itself is never formed: forward mode is applied to
    the gradient. Raises GradientError as `grad` and `jvp` do.

    >>> x = input("x", (3,))
    >>> hvp((x * x).sum(), x, [1.0, 0.0, 0.0]).shape
    (3,)
    """
    variables = checked_tensors(inputs, "what to differentiate with respect to")
    seeds = variables.seeds(vectors, "vector", "input")
    gradients = grad(loss, variables.listed)
    return variables.restore(_pushed_forward(gradients, variables.listed, seeds))


@public
def hessian(loss: Tensor, wrt: Any) -> Any:
    """The second derivatives of the scalar `loss` by `wrt`, of shape `wrt.shape + wrt.shape`. For small `wrt`.

    For a list, tuple or dict of tensors, the blocks in that structure, each in that structure again.

    >>> x = input("x", (3,))
    >>> hessian((x * x).sum(), x).shape
    (3, 3)
    """
    return jacobian(grad(loss, wrt), wrt)


# The sweep -------------------------------------------------------------------------------------------------------
def _pushed_forward(outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Tangents) -> list[Tensor]:
    """The tangent of each output."""
    found = _push_forward(outputs, inputs, seeds)
    return [zeros(output.type) if result is None else result for output, result in zip(outputs, found, strict=True)]


def _push_forward(outputs: Sequence[Node], inputs: Sequence[Node], seeds: Tangents) -> Tangents:
    """The tangent of each output; None where it is zero."""
    tangents: dict[Node, Tensor] = {}
    given = set(inputs)
    for variable, seed in zip(inputs, seeds, strict=True):
        if seed is not None:
            tangents[variable] = apply("add", tangents[variable], seed) if variable in tangents else seed
    several: dict[Node, Tangents] = {}  # of nodes that have several results
    for node in topological(outputs):
        if node in given or not node.has_floats:
            continue
        since, tangent = next_serial(), None
        parts = [tangents.get(source) for source in node.inputs]
        if op_of(node).kind is Kind.PART:
            tangent = several[node.inputs[0]][node.attrs["index"]] if node.inputs[0] in several else None
        elif any(part is not None for part in parts):
            if isinstance(node, Results):
                several[node] = _push_several(node, parts)
            else:
                tangent = _push_node(node, parts)
        if tangent is not None:
            inherit_location([tangent], since, node.location)
            tangents[node] = tangent
    return [tangents.get(output) for output in outputs]


def _push_node(node: Node, parts: Tangents) -> Tensor | None:
    tangent = _pushed(node, parts)
    return None if tangent is None else checked_part(tangent, node.type, f"the jvp rule of {node.op}")


def _push_several(node: Results, parts: Tangents) -> Tangents:
    types, found = node.type.parts, _pushed(node, parts)
    rule = f"the jvp rule of {node.op}"
    if found is None:
        return [None] * len(types)
    return [None if part is None else checked_part(part, type, rule) for part, type in zip(found, types, strict=True)]


def _pushed(node: Any, parts: Tangents) -> Any:
    """What the jvp rule of `node` gives; None for zero."""
    op = op_of(node)
    if op.jvp is ZERO:
        return None
    if op.jvp is NO_GRADIENT:
        raise rule_error(node, f"{node.op} has no gradient with respect to its inputs")
    try:
        return _derive(op, node, parts)
    except (GradientError, InternalError):
        raise
    except GraphcError as error:
        raise InternalError(f"the jvp rule of {node.op} failed for {node!r}: {error}") from error


def _derive(op: Op, node: Any, parts: Tangents) -> Any:
    if op.jvp is OF_ITS_BODY:
        return push_through(node, parts, _push_forward)
    if op.jvp is Jvp.POINTWISE:
        return _sum(_pointwise(op, node, parts))
    if op.jvp is Jvp.LINEAR:
        inputs = [_linear_operand(source, part) for source, part in zip(node.inputs, parts, strict=True)]
        return apply(op.name, *inputs, **node.attrs)
    if op.jvp is Jvp.MULTILINEAR:
        return _sum(_multilinear(op, node, parts))
    results = parts_of(node) if isinstance(node, Results) else node
    return op.jvp(tuple(parts), results, *node.inputs, **node.attrs)  # type: ignore[operator]


def _pointwise(op: Op, node: Any, parts: Tangents) -> list[Tensor]:
    """An elementwise Jacobian is diagonal, hence its own transpose: the vjp rules take tangents as well."""
    terms = []
    for position, part in enumerate(parts):
        rule = op.vjp_rule(position)
        if part is None or rule is ZERO:
            continue
        if rule is NO_GRADIENT:
            raise rule_error(node, f"{node.op} has no gradient with respect to its input {position}")
        term = rule(part, node, *node.inputs, **node.attrs)  # type: ignore[operator]
        terms.append(checked_part(term, node.type, f"the jvp rule of {op.name} for input {position}"))
    return terms


def _multilinear(op: Op, node: Any, parts: Tangents) -> list[Tensor]:
    terms = []
    for position, part in enumerate(parts):
        if part is not None:
            inputs = (*node.inputs[:position], part, *node.inputs[position + 1 :])
            terms.append(apply(op.name, *inputs, **node.attrs))
    return terms


def _linear_operand(source: Tensor, tangent: Tensor | None) -> Tensor:
    if not source.dtype.is_float:
        return source
    return zeros(source.type) if tangent is None else tangent


def _sum(terms: list[Tensor]) -> Tensor | None:
    if not terms:
        return None
    total = terms[0]
    for term in terms[1:]:
        total = apply("add", total, term)
    return total
