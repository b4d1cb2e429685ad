"""Every workload, on small sizes: the engines compute the same as the reference, and a wrong twin is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.compare import disagreements
from benchmarks.engines import ENGINES, missing
from benchmarks.measure import Result
from benchmarks.worker import compiled
from benchmarks.workload import Data, Workload
from benchmarks.workloads import GROUPS, WORKLOADS

ENGINES_HERE = [name for name in ENGINES if name not in ("graphc", "graphc-numpy", "torch-compile")]


def computed(engine: str, workload: Workload, data: Data | None = None, threads: int = 1) -> Result:
    """What an engine computes in this process."""
    ENGINES[engine].setup(threads)
    _, start = compiled(engine, workload, data or workload.data(), threads, 3)
    return Result(workload.name, engine, threads, rounds=(1.0,), trace=start.trace)


@pytest.mark.parametrize("name", WORKLOADS)
def test_data_repeats(name: str) -> None:
    first, second = (WORKLOADS[name].shrunk().data() for _ in range(2))
    for part in ("weights", "buffers", "vectors", "inputs"):
        values = getattr(first, part)
        assert values.keys() == getattr(second, part).keys()
        for key, value in values.items():
            np.testing.assert_array_equal(value, getattr(second, part)[key])


@pytest.mark.parametrize("engine", ENGINES_HERE)
@pytest.mark.parametrize("name", WORKLOADS)
def test_engines_compute_the_same(name: str, engine: str) -> None:
    if reason := missing(engine) or WORKLOADS[name].left_out.get(engine, ""):
        pytest.skip(reason)
    workload = WORKLOADS[name].shrunk()
    assert disagreements([computed("graphc-numpy", workload), computed(engine, workload)], 2e-6) == []


@pytest.mark.parametrize("name", ["tiny", "encoder", "resnet", "softmax", "gemm-512x512x512"])
def test_thread_counts_give_the_same_bits(name: str) -> None:
    workload = WORKLOADS[name].shrunk()
    assert disagreements([computed("graphc", workload, None, threads) for threads in (1, 2)]) == []


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_wrong_twin_is_noticed(name: str) -> None:
    """One array of the data is doubled, which stands for any mistake in a twin."""
    workload = WORKLOADS[name].shrunk()
    data = workload.data()
    part = data.weights if data.weights else data.inputs
    key = next(key for key, value in part.items() if value.dtype.kind == "f")
    wrong = 2 * part[key]
    planted = replace(data, **{"weights" if data.weights else "inputs": part | {key: wrong}})
    wrong_twin = replace(computed("graphc-numpy", workload, planted), engine="torch")
    sentences = disagreements([computed("graphc-numpy", workload, data), wrong_twin])
    assert len(sentences) == 1
    assert "graphc-numpy (1) and torch (1) differ in " in sentences[0]


@pytest.mark.parametrize("name", WORKLOADS)
def test_work_is_declared(name: str) -> None:
    workload = WORKLOADS[name]
    data = workload.shrunk().data()
    assert 1e3 < workload.shrunk().work() * 10 < workload.work()
    assert workload.traffic(data, 8) > sum(array.nbytes for array in data.inputs.values())
    assert set(workload.wrt) <= set(data.inputs)
    assert workload.name in GROUPS.get(workload.group, [workload.name])
