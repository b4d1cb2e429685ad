"""What runs together: groups are convex, nothing is computed twice or for nobody, and known patterns are one launch."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.api import build_graph
from graphc.fusion.fuse import fuse
from graphc.fusion.verify import faults_of, verify
from graphc.ir.graph import Graph, consumers
from graphc.ir.node import Node
from graphc.pipeline import compile_plan, optimise
from graphc.plan.plan import Launch
from tests.fuzz.grow import grow

ROWS = gx.input("x", (64, 100))
LABELS = gx.input("labels", (64,), "int64")
WEIGHTS = gx.input("g", (64, 100))


# Invariants ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("block", range(4))
def test_groups_of_random_programs_are_convex_and_compute_everything_once(block: int) -> None:
    for seed in range(1000 + 25 * block, 1025 + 25 * block):
        graph = optimise(grow(seed).graph)
        groups = fuse(graph)
        verify(graph, groups)
        computed = [node for group in groups for node in group.members]
        assert len(computed) == len(set(computed)), f"program {seed}"  # in graphs as small as these


def test_the_check_of_groups_notices_faults() -> None:
    graph = optimise(build_graph([ROWS], gx.sum(gx.exp(gx.sum(gx.sin(ROWS), 0))) + gx.cumsum(gx.sin(ROWS))[-1])[0])
    groups = fuse(graph)
    assert len(groups) > 1
    assert faults_of(graph, groups) == []
    assert "later group" in str(faults_of(graph, groups[::-1]))
    assert "computed by nobody" in str(faults_of(graph, groups[1:]))
    assert "computed 2 times" in str(faults_of(graph, [*groups, groups[0]]))
    groups[-1].stores += groups[-1].members
    assert "stored for nobody" in str(faults_of(graph, groups))
    groups[0].stores.clear()
    assert "which is not stored" in str(faults_of(graph, groups))


# Patterns ------------------------------------------------------------------------------------------------------------
def launches(inputs: list[gx.Tensor], outputs: list[gx.Tensor], updates=None) -> tuple[Launch, ...]:
    return compile_plan(build_graph(inputs, outputs, updates)[0]).plan.launches


def forward_and_backward(result: gx.Tensor) -> list[gx.Tensor]:
    cotangent = gx.input("cotangent", result.shape)
    return [result, *gx.vjp([result], [ROWS], [cotangent])]


ROW_PROGRAMS = {
    "softmax": lambda x: gx.softmax(x, -1),
    "softmax of columns": lambda x: gx.softmax(x, 0),
    "log_softmax": lambda x: gx.log_softmax(x, -1),
    "logsumexp": lambda x: gx.logsumexp(x, -1),
    "var": lambda x: gx.var(x, 1),
    "gelu": gx.gelu,
    "layer norm": nn.LayerNorm(100),
    "rms norm": nn.RMSNorm(100),
    "l2 normalisation": lambda x: x / gx.sqrt(gx.sum(x * x, 1, keepdims=True) + 1e-6),
}


@pytest.mark.parametrize("name", ROW_PROGRAMS)
def test_row_programs_are_one_launch(name: str) -> None:
    results = forward_and_backward(ROW_PROGRAMS[name](ROWS))
    cotangent = next(node for node in build_nodes(results) if node.op == "input" and node is not ROWS)
    assert len(launches([ROWS], results[:1])) == 1
    assert len(launches([ROWS, cotangent], results[1:])) == 1
    assert len(launches([ROWS, cotangent], results)) == 1


def build_nodes(results: list[gx.Tensor]) -> list[Node]:
    return Graph((), tuple(results)).nodes


def test_cross_entropy_is_a_row_program_and_a_mean() -> None:
    loss = nn.cross_entropy(ROWS, LABELS)
    gradient = gx.grad(loss, [ROWS])
    assert len(launches([ROWS, LABELS], [loss])) == 2
    assert len(launches([ROWS, LABELS], gradient)) == 2  # how many labels count, then all rows
    assert len(launches([ROWS, LABELS], [loss, *gradient])) <= 5


def test_bias_and_activation_run_in_the_epilogue_of_a_product() -> None:
    layer = nn.Linear(100, 50)
    (launch,) = launches([ROWS], [gx.relu(layer(ROWS))])
    assert (launch.kernel.startswith("gemm"), launch.label) == (True, "matmul+add+relu")


def test_a_weight_is_updated_in_the_epilogue_of_its_gradient() -> None:
    layer, target = nn.Linear(100, 50), gx.input("target", (64, 50))
    loss = nn.mse_loss(layer(ROWS), target)
    plan = compile_plan(
        build_graph([ROWS, target], loss, optim.AdamW(lr=1e-3).minimize(loss, layer.parameters()))[0]
    ).plan
    (product,) = [launch for launch in plan.launches if launch.kernel.startswith("gemm") and launch.program >= 0]
    written = {plan.buffers[index].name for index in product.writes}
    assert {"weight", "weight.exp_avg", "weight.exp_avg_sq"} <= written
    writers = [launch for launch in plan.launches if any(plan.buffers[i].space == "parameter" for i in launch.writes)]
    assert len(writers) == 3  # weight, bias, step count: no copies


@pytest.mark.parametrize("loss", ["mse", "cross entropy", "layer norm"])
def test_no_launch_writes_a_broadcast(loss: str) -> None:
    """What is only repeated is never in memory, forward or backward."""
    model = nn.Sequential(nn.Linear(100, 40), nn.GELU(), nn.Linear(40, 100))
    y = model(ROWS)
    value = {
        "mse": lambda: nn.mse_loss(y, WEIGHTS),
        "cross entropy": lambda: nn.cross_entropy(y, LABELS),
        "layer norm": lambda: gx.sum(nn.LayerNorm(100)(y) * WEIGHTS),
    }[loss]()
    graph = optimise(
        build_graph([ROWS, WEIGHTS, LABELS], value, optim.SGD(lr=0.1).minimize(value, model.parameters()))[0]
    )
    stored = [node for group in fuse(graph) for node in group.stores]
    assert [node for node in stored if node.op == "broadcast_to"] == []
    assert sum(node.op == "broadcast_to" for node in graph.nodes) > 3


def test_what_nobody_reads_is_not_computed() -> None:
    x = gx.input("x", (8,))
    unused = gx.exp(x)
    graph = optimise(build_graph([x], gx.sin(x))[0])
    assert unused not in consumers(graph.nodes)
    assert [node.op for group in fuse(graph) for node in group.members] == ["sin"]


def test_a_constant_result_costs_a_copy() -> None:
    program = gx.compile([], gx.constant(np.arange(3.0)))
    np.testing.assert_array_equal(program(), np.arange(3.0))
