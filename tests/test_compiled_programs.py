"""Compiled programs as they live: the memory they hold, several threads, signals, forks, and large graphs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import graphc as gx
from graphc.errors import MemoryBudgetError
from graphc.plan.plan import Plan
from tests.runtime.support import HERE, compile_c, needs_compiler
from tests.test_compile import batch, training_step

ROOT = Path(__file__).parent.parent


# Memory --------------------------------------------------------------------------------------------------------------
def test_a_budget_is_met_or_refused_with_the_bytes_needed() -> None:
    step, _ = training_step(threads=1)
    needed = step.memory.peak_bytes
    with pytest.raises(MemoryBudgetError, match=rf"smallest budget that will do is {needed} "):
        training_step(threads=1, memory_budget=needed - 1)
    assert training_step(threads=1, memory_budget=needed)[0].memory.peak_bytes == needed


def test_the_parts_of_the_peak() -> None:
    step, state = training_step(threads=2)
    plan, memory = step.plan, step.memory
    assert isinstance(plan, Plan)
    x, y = batch()
    assert memory.parameter == sum(p.value.nbytes for p in state if p.trainable)
    assert memory.state == sum(p.value.nbytes for p in state if not p.trainable) > 0
    assert (memory.input, memory.output) == (x.nbytes + y.nbytes, 4)
    assert (
        memory.arena
        == plan.arena_bytes
        == max(b.offset + b.nbytes + -b.nbytes % 64 for b in plan.buffers if b.space == "arena")
    )
    assert memory.lower_bound <= memory.arena
    held = (memory.parameter, memory.state, memory.constant, memory.input, memory.output)
    parts = (*held, memory.arena, memory.workspace, memory.table)
    assert memory.peak_bytes == sum(parts)


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="counts allocations with LD_PRELOAD")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_step_allocates_nothing(tmp_path: Path, threads: int) -> None:
    """Counts every malloc of the process while steps run; in another process, because the counter is preloaded."""
    counter = compile_c(HERE / "allocations.c", tmp_path / "counter.so", "-shared", "-fPIC")
    script = f"""
        import ctypes, numpy as np
        from tests.test_compile import batch, training_step
        counter = ctypes.CDLL({str(counter)!r})
        address = lambda name: ctypes.cast(getattr(counter, name), ctypes.c_void_p).value
        step, _ = training_step(threads={threads})
        step(*batch())
        step._engine.watch(address("count_from_here"), address("count_to_here"))
        for _ in range(20):
            step(*batch())
        print(counter.allocations(), counter.steps())
    """
    assert run_script(script, LD_PRELOAD=str(counter)).split() == ["0", "20"]


# Processes and threads -----------------------------------------------------------------------------------------------
def run_script(script: str, **environment: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script)]
    everything = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    result = subprocess.run(command, env=everything, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_calls_from_several_python_threads() -> None:
    """One program, called by turns, and one program each, at the same time."""
    x = gx.input("x", (200, 200))
    shared = gx.compile([x], gx.tanh(x @ x) @ x, threads=2)
    arrays = [np.random.default_rng(i).normal(size=(200, 200)).astype(np.float32) / 14 for i in range(4)]
    expected = [shared(array) for array in arrays]
    wrong: list[int] = []

    def work(number: int) -> None:
        own = gx.compile([x], gx.tanh(x @ x) @ x, threads=2)
        for _ in range(10):
            for program in (shared, own):
                if program(arrays[number]).tobytes() != expected[number].tobytes():
                    wrong.append(number)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert shared.step == 4 + 40


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="needs signals")
def test_control_c_leaves_the_process_usable() -> None:
    """The signal comes while products of some 20 ms run on all threads; a step is completed or not begun."""
    script = """
        import os, signal, threading, numpy as np, graphc as gx
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background hands down SIG_IGN
        w, x = gx.parameter("w", np.zeros((600, 600), np.float32)), gx.input("x", (600, 600))
        step = gx.compile([x], gx.sum(w), {w: w + x @ x @ x @ x @ x}, threads=2)
        one = np.eye(600, dtype=np.float32)
        for delay in (0.05, 0.13, 0.21):
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                while True:
                    step(one)
            except KeyboardInterrupt:
                pass
            done = w.value[0, 0]
            assert done >= 1 and (w.value == done * one).all(), "half a step"
            assert abs(step.step - done) <= 1, (step.step, done)
            step(one)
            assert (w.value == (done + 1) * one).all()
        print("usable")
    """
    assert run_script(script).strip() == "usable"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on() -> None:
    script = """
        import os, numpy as np
        from tests.test_compile import batch, training_step
        step, state = training_step(threads=2)
        step(*batch())
        child = os.fork()
        losses = [float(step(*batch())["loss"]) for _ in range(5)]
        if child == 0:
            os._exit(0 if losses[-1] < losses[0] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("both")
    """
    assert run_script(script).strip() == "both"


# Size ----------------------------------------------------------------------------------------------------------------
def test_a_chain_of_ten_thousand_nodes_compiles_in_seconds() -> None:
    begin = time.process_time()
    x = y = gx.input("x", (8,), "float64")
    for step in range(5000):
        y = gx.sin(y) if step % 2 else y * 1.0001
        y = y + x
    gradient = gx.grad(gx.sum(y), [x])
    program = gx.compile([x], [y, *gradient])
    seconds = time.process_time() - begin
    array = np.linspace(0.1, 1, 8)
    for one, other in zip(program(array), gx.evaluate([y, *gradient], {x: array}), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert seconds < 20
