"""The text form of graphs: what it looks like, that it is read back to the same nodes, and what it refuses."""

import gc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gx
from graphc.errors import FormatError
from graphc.ir.graph import Graph, identical
from graphc.ir.node import Literal, Node, intern
from graphc.ir.reading import parse_graph
from graphc.ir.text import MAX_DEPTH, graph_text, serials
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.build import apply, build_node


def raw(op, inputs, attrs):
    """A node without any rule, float32 and 0-d."""
    return intern(Node, op, inputs, attrs, TensorType(DTYPES["float32"], ()))


def read_back(graph):
    text = graph_text(graph)
    again = parse_graph(text, build_node, serials(graph))
    assert again == graph
    assert graph_text(again) == text
    return text


def test_golden():
    x = gx.input("x", (2, 3))
    w = gx.parameter("w", np.ones((3, 1), np.float32))
    loss = gx.sum(gx.tanh(x @ w) * 0.5)
    graph = Graph((x,), (loss,), ((w, w - w),), ("loss",))
    assert read_back(graph) == (
        "graph 1\n"
        '%0 = input() {dtype=float32, name="x", shape=(2, 3)} : float32[2, 3]\n'
        '%1 = parameter() {dtype=float32, name="w", shape=(3, 1), uid=@0} : float32[3, 1]\n'
        "%2 = matmul(%0, %1) : float32[2, 1]\n"
        "%3 = tanh(%2) : float32[2, 1]\n"
        "%4 = constant() {value=float32[]{0.5}} : float32[]\n"
        "%5 = broadcast_to(%4) {shape=(2, 1)} : float32[2, 1]\n"
        "%6 = multiply(%3, %5) : float32[2, 1]\n"
        "%7 = sum(%6) {axes=(0, 1)} : float32[]\n"
        "%8 = subtract(%1, %1) : float32[3, 1]\n"
        "inputs %0\n"
        "outputs %7\n"
        'names "loss"\n'
        "updates %1 <- %8\n"
    )


def test_text_does_not_depend_on_build_history():
    def build(reverse):
        x = gx.input("x", (2,))
        parts = [gx.exp, gx.sin]
        made = [f(x) for f in (parts[::-1] if reverse else parts)]
        a, b = made[::-1] if reverse else made
        w = gx.parameter("w", [1.0, 2.0])
        return graph_text(Graph((x,), (a + b * w,)))

    first = build(False)
    gc.collect()
    assert build(True) == first


def test_unused_inputs_and_written_only_parameters_are_kept():
    x, y = gx.input("x", ()), gx.input("unused", (3,), "int8")
    count = gx.state("count", 0)
    read_back(Graph((x, y), (gx.exp(x),), ((count, gx.constant(1)),)))


SPECIAL = [0.0, -0.0, 1.0, 0.1, np.pi, 1e-45, 5e-324, 1e300, -np.inf, np.inf, np.nan, -np.nan]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_round_trips_small_and_large(dtype):
    numpy = DTYPES[dtype].numpy
    with np.errstate(all="ignore"):
        small = np.array(SPECIAL).astype(numpy) if DTYPES[dtype].is_float else np.arange(-6, 6).astype(numpy)
    for array in (small, np.resize(small, (5, 7)), small[:0], small[0]):
        x = gx.constant(array)
        text = read_back(Graph((), (x,)))
        assert ("$0 = " in text) == (np.size(array) > 16)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_16_bit_float_round_trips(dtype):
    numpy = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    values = np.arange(2**16, dtype=np.uint16).view(numpy)
    nodes = [raw("c", (), {"value": Literal(values[i : i + 16])}) for i in range(0, 2**16, 16)]
    graph = Graph((), tuple(nodes))
    assert identical(parse_graph(graph_text(graph), raw).outputs, nodes)


def bits32(bits):
    return np.array([bits], np.uint32).view(np.float32)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=16))
def test_float32_bits_round_trip(bits):
    node = raw("c", (), {"value": Literal(np.array(bits, np.uint32).view(np.float32))})
    assert parse_graph(graph_text(Graph((), (node,))), raw).outputs[0] is node


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(list(DTYPES.values()))
)
attributes = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda n: n != "uid"), attributes))
def test_attributes_round_trip(attrs):
    node = raw("op", (), attrs)
    assert parse_graph(graph_text(Graph((), (node,))), raw).outputs[0] is node


def test_nested_tuples_and_long_chains_round_trip():
    deep = ()
    for _ in range(MAX_DEPTH - 1):
        deep = (deep, 1)
    node = raw("op", (), {"deep": deep})
    for _ in range(20_000):
        node = raw("next", (node,), {})
    assert parse_graph(graph_text(Graph((), (node,))), raw).outputs[0] is node


def test_two_parameters_of_one_name_stay_apart():
    a, b = gx.parameter("w", [1.0]), gx.parameter("w", [1.0])
    graph = Graph((), (a - b,))
    assert "uid=@0" in graph_text(graph)
    assert "uid=@1" in graph_text(graph)
    read_back(graph)
    swapped = parse_graph(graph_text(graph), build_node, serials(graph)[::-1])
    assert swapped == Graph((), (b - a,))


def test_a_dead_parameter_cannot_be_read():
    graph = Graph((), (gx.exp(gx.parameter("gone", [1.0])),))
    text, numbers = graph_text(graph), serials(graph)
    del graph
    gc.collect()
    with pytest.raises(FormatError, match=r"'gone'.*is alive"):
        parse_graph(text, build_node, numbers)


def test_locations_are_comments():
    x = gx.input("x # no comment", (2,))
    graph = Graph((x,), (gx.exp(x),))
    text = graph_text(graph, locations=True)
    assert f"# {__file__}:" in text
    assert "in test_locations_are_comments" in text
    assert parse_graph(text, build_node) == graph


def test_odd_filenames_do_not_break_lines():
    x = gx.input("x", ())
    code = compile("y = gx.exp(gx.exp(x))", "odd\u2028\x0c\n#name", "exec")
    scope = {"gx": gx, "x": x}
    exec(code, scope)
    graph = Graph((x,), (scope["y"],))
    assert parse_graph(graph_text(graph, locations=True), build_node) == graph


def test_data_can_be_left_out():
    graph = Graph((), (gx.constant(np.arange(100)),))
    text = graph_text(graph, data=False)
    assert "int64[100]$0" in text
    with pytest.raises(FormatError, match="data is missing"):
        parse_graph(text, build_node)


GOOD = 'graph 1\n%0 = input() {dtype=float32, name="x", shape=(2,)} : float32[2]\n%1 = exp(%0) : float32[2]\n'
END = "inputs %0\noutputs %1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no inputs and no outputs"),
        ("graph 2\n", "'2' where '1'"),
        (GOOD + "inputs %0\n", "no outputs"),
        (GOOD + END + "outputs %1\n", "repeated word 'outputs'"),
        (GOOD + END + "extra %1\n", "unknown or repeated word 'extra'"),
        (GOOD + "inputs %0\noutputs %2\n", "uses %2 before it is defined"),
        (GOOD + "%1 = exp(%0) : float32[2]\n" + END, "defines %1 again"),
        (GOOD + "%2 = exp(%0) : float64[2]\n" + END, "states the type float64"),
        (GOOD + "%2 = exp(%0, %0) : float32[2]\n" + END, "describes no node"),
        (GOOD + "%2 = exp(%0) {axis=1} : float32[2]\n" + END, "describes no node"),
        (GOOD + "%2 = nothing(%0) : float32[2]\n" + END, "no op is called 'nothing'"),
        (GOOD + "%2 = exp(%0 : float32[2]\n" + END, "':' where ',' or '\\)'"),
        (GOOD + "%2 = exp(%0) : float31[2]\n" + END, "'float31' where a dtype"),
        (GOOD + "%2 = exp(%0) : float32[-2]\n" + END, "negative extent"),
        (GOOD + "%2 = exp(%0) : float32[2] %0\n" + END, "goes on with '%0'"),
        (GOOD + "%2 = constant() {value=float32[2]{1.0}} : float32[2]\n" + END, "1 element"),
        (GOOD + "%2 = constant() {value=int8[1]{300}} : int8[1]\n" + END, "'300' where a int8"),
        (GOOD + "%2 = constant() {value=bool[1]{1}} : bool[1]\n" + END, "'1' where a bool"),
        (
            GOOD + "%2 = constant() {value=float32[1000000000000]$0} : float32[2]\n" + END + '$0 = "AAAA"\n',
            "another size",
        ),
        (GOOD + END + "$0 = AAAA\n", "no data line"),
        (GOOD + END + '$0 = "A*"\n', "no data line"),
        (GOOD + '%2 = parameter() {dtype=float32, name="w", shape=(), uid=@0} : float32[]\n' + END, "serial @0"),
        (GOOD + "%2 = exp(%0) {a=1, a=1} : float32[2]\n" + END, "an attribute twice"),
        (GOOD + f"%2 = exp(%0) {{a={'9' * 5000}}} : float32[2]\n" + END, "where an integer should stand"),
        (GOOD + f"%2 = exp(%0) {{uid=@{'9' * 5000}}} : float32[2]\n" + END, "0 serial"),
        (GOOD + "%2 = exp(%0) {a=word} : float32[2]\n" + END, "unknown word 'word'"),
        (GOOD + f"%2 = exp(%0) {{a={'(' * 10_000}}} : float32[2]\n" + END, "more than 32 deep"),
        (GOOD + "%2 = exp(%0) {a=!} : float32[2]\n" + END, "cannot be read"),
        (GOOD + '%2 = exp(%0) {a="\\x"} : float32[2]\n' + END, "malformed string"),
    ],
)
def test_malformed_text(text, message):
    with pytest.raises(FormatError, match=message):
        parse_graph(text, build_node)


def test_the_good_text_is_good():
    graph = parse_graph(GOOD + END, build_node)
    assert graph.outputs[0] is apply("exp", gx.input("x", (2,)))
