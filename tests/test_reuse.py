"""Programs met again: the same plan, library and bits without compiling; and never those of another graph."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim, pipeline, reuse
from graphc.api import build_graph
from graphc.backends.backend import Planning
from graphc.backends.c import backend as c_backend
from graphc.backends.c.backend import C
from graphc.ir.graph import Graph
from graphc.plan.format import plan_digest
from graphc.toolchain import build as building
from graphc.toolchain.cache import FOLDER, Cache, digest, open_cache
from graphc.toolchain.compiler import find_compiler
from graphc.toolchain.isa import chosen_level
from tests.mutations import mutants
from tests.runtime.support import needs_compiler

pytestmark = needs_compiler
TABLE = np.linspace(0, 1, 40, dtype=np.float32)
RESULT = np.arange(6, dtype=np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    return tmp_path / "cache"


def training_step(seed: int = 0) -> tuple[gx.Program, gx.Parameter]:
    """Parameters, state, random numbers, and a constant that lies in a buffer of its own."""
    x = gx.input("x", (8, 40))
    rng = np.random.default_rng(seed)
    w = gx.parameter("w", rng.normal(size=(40, 4)).astype(np.float32))
    noisy = gx.checkpoint(nn.Dropout(0.2))(x + gx.uniform((8, 40)) * 0.1 + gx.constant(TABLE))
    loss = nn.mse_loss(noisy @ w, gx.zeros((8, 4)))
    program = gx.compile([x], {"loss": loss}, optim.AdamW(lr=1e-2).minimize(loss, [w]), backend="c", seed=5)
    return program, w


def test_a_plan_is_recalled_with_its_alignment() -> None:
    x = gx.input("x", (20, 3))
    graph, _ = build_graph([x], gx.sum(gx.softmax(x @ x.T) @ x))
    assert isinstance(C.how, Planning)
    other = replace(C, how=replace(C.how, alignment=512))
    for backend, alignment in ((C, 64), (other, 512), (C, 64), (other, 512)):
        plan = pipeline.compile_graph(graph, backend, pipeline.Settings(1))[0].plan
        offsets = [buffer.offset for buffer in plan.buffers if buffer.space == "arena"]
        assert plan.alignment == alignment
        assert max(offsets) > 0
        assert not any(offset % alignment for offset in offsets)


def run(program: gx.Program, w: gx.Parameter) -> tuple[bytes, bytes]:
    x = np.random.default_rng(1).normal(size=(8, 40)).astype(np.float32)
    losses = [program(x)["loss"].tobytes() for _ in range(3)]
    return b"".join(losses), w.value.tobytes()


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was compiled before")


def test_a_program_met_again_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model built twice, random streams and a checkpointed region in it: no count of the process shows."""
    first, w = training_step()
    bits = run(first, w)
    monkeypatch.setattr(pipeline, "compile_plan", never)
    monkeypatch.setattr(building, "_compile", never)
    again, v = training_step()
    assert again.plan == first.plan
    assert again.source == first.source
    assert again.memory == first.memory
    assert run(again, v) == bits
    assert v is not w


def test_a_parameter_that_is_no_longer_trained_is_state(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(make: Any) -> gx.Program:
        p = make("p", np.ones(4, np.float32))
        return gx.compile([], [p + 1], {p: p * 2}, backend="c")

    assert (doubled(gx.parameter).memory.parameter, doubled(gx.parameter).memory.state) == (16, 0)
    monkeypatch.setattr(pipeline, "compile_plan", never)
    assert (doubled(gx.state).memory.parameter, doubled(gx.state).memory.state) == (0, 16)


def test_values_of_parameters_are_no_part_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    first, w = training_step(0)
    bits = run(first, w)
    monkeypatch.setattr(pipeline, "compile_plan", never)
    other, v = training_step(1)
    assert run(other, v) != bits


# What a key holds ----------------------------------------------------------------------------------------------------
def graph_of(build: Callable[[gx.Tensor], Any]) -> Graph:
    return build_graph([x := gx.input("x", (6,))], build(x), None)[0]


def key(build: Callable[[gx.Tensor], Any], threads: int = 2, level: str = "", budget: int | float | None = None) -> str:
    return _key(graph_of(build), find_compiler(), threads, level, budget)


def _key(graph: Graph, compiler: Any, threads: int = 2, level: str = "", budget: int | float | None = None) -> str:
    level = level or chosen_level()
    with mock.patch.multiple(c_backend, find_compiler=lambda: compiler, chosen_level=lambda: level):
        return reuse.program_key(graph, C.name, C.how.identity(), threads, budget)


def scaled(x: gx.Tensor) -> gx.Tensor:
    return x * 2


def two_parameters(x: gx.Tensor, count: int) -> gx.Tensor:
    made = [gx.parameter("w", RESULT) for _ in range(count)]
    return x * made[0] + made[-1]


def test_equal_graphs_have_equal_keys() -> None:
    assert key(scaled) == key(scaled)
    assert key(lambda x: two_parameters(x, 2)) == key(lambda x: two_parameters(x, 2))


def test_different_programs_have_different_keys() -> None:
    def below(x: gx.Tensor) -> gx.Tensor:
        return x * 2  # the same on another line, which the plan names

    def at(value: Any) -> Callable[[gx.Tensor], gx.Tensor]:
        return lambda x: x * value

    keys = [key(scaled), key(scaled, threads=1), key(scaled, level="native"), key(below)]
    keys += [key(at(value)) for value in (0.0, -0.0, 1.5, TABLE[:6], TABLE[1:7], np.ones(6))]
    keys += [key(lambda x, n=n: two_parameters(x, n)) for n in (1, 2)]
    keys.append(key(lambda x: [x * 2, x * 2]))
    for budget in (1, 1.0, 0.5, 1 << 20):
        keys.append(key(scaled, budget=budget))
    assert len(set(keys)) == len(keys)


SURROUNDINGS: dict[str, Callable[[pytest.MonkeyPatch], Any]] = {
    "graphc itself": lambda patch: patch.setattr(reuse, "own_digest", lambda: "another graphc"),
    "NumPy": lambda patch: patch.setattr(np, "__version__", "another NumPy"),
    "the format": lambda patch: patch.setattr(reuse, "FORMAT", "another format"),
    "the system": lambda patch: patch.setattr(building, "system_identity", lambda: "another system"),
    "the format of libraries": lambda patch: patch.setattr(building, "FORMAT", "another format"),
}


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_what_a_program_is_made_with_is_part_of_its_key(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = key(scaled)
    SURROUNDINGS[what](monkeypatch)
    assert key(scaled) != before


COMPILERS: dict[str, dict[str, Any]] = {
    "command": {"command": ("another", "compiler")}, "stamp": {"stamp": "another"}, "version": {"version": "another"},
    "target": {"target": "x86_64-another"}, "flags": {"refused": ("-fno-math-errno",)},
}  # fmt: skip


@pytest.mark.parametrize("what", COMPILERS)
def test_every_fact_of_the_compiler_is_part_of_a_key(what: str) -> None:
    compiler, graph = find_compiler(), graph_of(scaled)
    other = replace(compiler, **COMPILERS[what])
    one, another = (_key(graph, which) for which in (compiler, other))
    assert one != another
    assert {field.name for field in fields(compiler)} == {name for facts in COMPILERS.values() for name in facts}


def test_the_processor_is_part_of_a_native_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [key(scaled, level=level) for level in ("native", chosen_level())]
    monkeypatch.setattr(building, "_processor", lambda: "another processor")
    after = [key(scaled, level=level) for level in ("native", chosen_level())]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_a_budget_is_kept_by_a_program_met_with_another() -> None:
    x = gx.input("x", (256, 16))
    layers = nn.Sequential(*(nn.Residual(nn.Sequential(nn.Linear(16, 16), nn.GELU())) for _ in range(6)))
    results = gx.grad(gx.mean(layers(x) ** 2), layers.parameters())
    peaks = {}
    for _ in range(2):
        for budget in (1.0, 0.8):
            program = gx.compile([x], results, backend="c", memory_budget=budget)
            peaks.setdefault(budget, set()).add(program.memory.peak_bytes)
    assert [len(found) for found in peaks.values()] == [1, 1]
    assert max(peaks[0.8]) <= 0.8 * min(peaks[1.0])


def test_every_module_and_header_counts(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    seen = {reuse.files_digest(str(tmp_path))}
    for name, text in (("a.py", "x"), ("a.py", "y"), ("room/b.h", "z"), ("room/c.h", "z"), ("d.pyx", "z")):
        (tmp_path / name).write_text(text)
        seen.add(reuse.files_digest(str(tmp_path)))
    assert len(seen) == 6
    (tmp_path / "module.so").write_text("not read")
    assert reuse.files_digest(str(tmp_path)) in seen


def test_the_package_and_its_headers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    monkeypatch.setattr(reuse, "files_digest", lambda top: found.append(top) or top)
    reuse.own_digest.__wrapped__()
    walked = {name for top in found for _, _, names in os.walk(top) for name in names}
    assert {"gemm.h", "fuse.py", "text.py"} <= walked


# What is damaged or gone ---------------------------------------------------------------------------------------------
def remembered(folder: Path) -> Path:
    """The file that holds a plan, made now."""
    x = gx.input("x", (6,))
    assert (gx.compile([x], x * 3 + TABLE[:6], backend="c")(RESULT) == RESULT * 3 + TABLE[:6]).all()
    return next(path for path in folder.glob("*.json") if "plan" in open_cache().recall(path.stem))


def test_an_entry_damaged_in_any_way_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where its hash is right: it was written by something else."""
    path = remembered(folder)
    facts = open_cache().recall(path.stem)
    facts["plan"] = json.loads(facts["plan"])
    graph = graph_of(scaled)
    whole = reuse.recall_program(path.stem, graph, C.how.code_of)
    assert whole is not None
    with monkeypatch.context() as patch:
        for what in mutants(facts):
            text = json.dumps({**facts, "plan": json.dumps(facts["plan"])} if "plan" in facts else facts)
            patch.setattr(Cache, "recall", lambda cache, key, text=text: json.loads(text))
            found = reuse.recall_program(path.stem, graph, C.how.code_of)
            if found is not None:
                assert plan_digest(found.plan) == plan_digest(whole.plan), what
                assert found.code == whole.code, what
                assert found.parameters == whole.parameters, what
    remembered(folder)


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "{", '{"sum": "nothing"}', "[" * 100_000])
@pytest.mark.parametrize("signed", [False, True])
def test_what_is_no_entry_is_passed_over(folder: Path, text: str, *, signed: bool) -> None:
    path = remembered(folder)
    path.write_text(f"{digest(path.stem, text)}\n{text}" if signed else text)
    assert reuse.recall_program(path.stem, graph_of(scaled), C.how.code_of) is None
    remembered(folder)


def test_an_entry_is_that_of_its_key(folder: Path) -> None:
    path = remembered(folder)
    other = path.with_name(f"{'0' * 64}.json")
    other.write_bytes(path.read_bytes())
    assert open_cache().recall(path.stem) is not None
    assert open_cache().recall(other.stem) is None


def test_a_library_that_is_gone_is_built_again(folder: Path) -> None:
    remembered(folder)
    for library in folder.glob("*.so"):
        library.unlink()
    remembered(folder)
    assert len(list(folder.glob("*.so"))) == 1


def test_large_constants_are_not_kept() -> None:
    x = gx.input("x", (reuse.MOST_DATA // 4 + 1,))
    table = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    program = gx.compile([x], x + table, backend="c")
    graph = build_graph([x], x + table, None)[0]
    assert reuse.recall_program(_key(graph, find_compiler(), program.threads), graph, C.how.code_of) is None
    assert open_cache().statistics().entries == 1
