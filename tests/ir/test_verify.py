"""The graph checker: quiet on sound graphs, and able to find each fault it promises to find."""

from types import MappingProxyType

import pytest

import graphc as gx
from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Node, next_serial
from graphc.ir.types import DTYPES, TensorType
from graphc.ir.verify import verify
from graphc.ops.build import infer_type


def forged(op, inputs, like, **attrs):
    """A node that no builder made."""
    node = Node.__new__(type(like))
    node.op, node.inputs, node.attrs, node.type = op, inputs, MappingProxyType(attrs), like.type
    node.serial, node.location = next_serial(), None
    return node


@pytest.fixture
def x():
    return gx.input("x", (3,))


def test_sound_graphs_pass(x):
    w = gx.parameter("w", [1.0, 2.0, 3.0])
    loss = gx.sum(gx.exp(x * w))
    verify(Graph((x,), (loss,), ((w, w - gx.grad(loss, w)),), ("loss",)), infer_type)
    verify(Graph((), ()))


def test_cycle(x):
    a = forged("exp", (x,), x)
    b = forged("sin", (a,), x)
    a.inputs = (b,)
    with pytest.raises(InternalError, match="depends on itself"):
        verify(Graph((), (b,)))
    a.inputs = ()


def test_not_interned_shows_the_neighbourhood(x):
    with pytest.raises(InternalError) as caught:
        verify(Graph((x,), (gx.sin(forged("exp", (x,), x)),)), infer_type, stage="after folding")
    text = str(caught.value)
    assert text.startswith("after folding: a node is not the interned one")
    assert 'inputs:\n    %0 = input() {dtype=float32, name="x"' in text
    assert "node:\n    %1 = exp(%0) : float32[3]" in text
    assert "consumers:\n    %2 = sin(%1) : float32[3]" in text
    assert f"# {__file__}:" in text


def test_wrong_type(x):
    y = gx.exp(x)
    right = y.type
    y.type = TensorType(DTYPES["float64"], (3,))
    try:
        with pytest.raises(InternalError, match=r"gives float32\[3\], but the node is float64\[3\]|interned"):
            verify(Graph((x,), (y,)), infer_type)
    finally:
        y.type = right


def test_the_rule_is_asked(x):
    with pytest.raises(InternalError, match=r"gives float32\[7\], but the node is float32\[3\]"):
        verify(Graph((x,), (gx.exp(x),)), lambda node: TensorType(DTYPES["float32"], (7,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, w: Graph((), (gx.exp(x),)), "used but not listed"),
        (lambda x, w: Graph((x, x), (gx.exp(x),)), "listed twice"),
        (lambda x, w: Graph((gx.exp(x),), (gx.exp(x),)), "listed as an input but is none|used but not listed"),
        (lambda x, w: Graph((x,), (x,), ((x, x),)), "of what is no parameter"),
        (lambda x, w: Graph((x,), (x,), ((w, x), (w, w))), "updated twice"),
        (lambda x, w: Graph((x,), (x,), ((w, gx.sum(x)),)), r"float32\[3\] is updated to a value float32\[\]"),
        (lambda x, w: Graph((x,), (x,), (), ("a", "b")), "1 output"),
        (lambda x, w: Graph((x,), (x, x), (), ("a", "a")), "2 output"),
    ],
)
def test_interface_faults(x, make, message):
    with pytest.raises(InternalError, match=message):
        verify(make(x, gx.parameter("w", [1.0, 2.0, 3.0])))


def test_many_consumers_are_cut_short(x):
    odd = forged("exp", (x,), x)
    with pytest.raises(InternalError, match="and 12 more"):
        verify(Graph((x,), tuple(odd * float(i) for i in range(20))))
