"""The executor: the right numbers for any number of threads, no allocation in a step, usable after fork and Ctrl-C."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.errors import InternalError
from graphc.plan.plan import REGISTERS, Buffer, Launch, Plan, Ref
from graphc.runtime.executor import Executor, return_freed_memory
from tests.runtime.support import (
    HERE,
    add_launch,
    buffer,
    chain,
    compile_c,
    expected_chain,
    needs_compiler,
    plan_of,
)  # fmt: skip

ROOT = HERE.parent.parent


def run(plan: Plan, table: object, *inputs: np.ndarray, threads: int = 1, together: bool = False) -> list[np.ndarray]:
    executor = Executor(plan, [], [], table, threads)
    outputs = [np.full(plan.buffers[i].shape, np.nan, np.float32) for i in plan.outputs]
    (executor.run_together if together else executor.run)(list(inputs), outputs)
    return outputs


@pytest.mark.parametrize("size", [0, 1, 7, 1000])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_chain(table: object, length: int, size: int) -> None:
    x = np.arange(size, dtype=np.float32) / 3
    (result,) = run(chain(length, size, tile=16), table, x)
    np.testing.assert_array_equal(result, expected_chain(length, x))


@pytest.mark.parametrize("threads", [2, 4, 7])
@pytest.mark.parametrize(
    ("length", "size", "tile", "work"), [(40, 4096, 64, 10**6), (300, 64, 64, 10**5), (300, 64, 8, 10)]
)
def test_every_number_of_threads_gives_the_same_bits(
    table: object, threads: int, length: int, size: int, tile: int, work: int
) -> None:
    plan = chain(length, size, tile, work)
    x = np.random.default_rng(0).normal(size=size).astype(np.float32)
    executor = Executor(plan, [], [], table, threads)
    alone, together = np.empty_like(x), np.empty_like(x)
    executor.run([x], [alone])
    for _ in range(20):
        together[:] = np.nan
        executor.run_together([x], [together])
        np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(alone, expected_chain(length, x))


def test_waiting_for_slow_tiles_sleeps_and_wakes(table: object) -> None:
    """Tiles of half a millisecond are longer than any spinning, so threads go to sleep and must be woken."""
    buffers = [buffer("x", "input", 8), buffer("y", "output", 8, 0, 1, 1), buffer("t", "arena", 8, 0, 0, 1)]
    launches = [
        add_launch(0, 0, 2, 8, tile=4, kernel="wait", work=10**6, wait=500_000),
        add_launch(2, 0, 1, 8, tile=1, depends=[0], kernel="wait", work=10**6, wait=500_000),
    ]
    x = np.arange(8, dtype=np.float32)
    executor, y = Executor(plan_of(buffers, launches, arena=64), [], [], table, 4), np.zeros(8, np.float32)
    for _ in range(10):
        y[:] = 0
        executor.run_together([x], [y])
        np.testing.assert_array_equal(y, 3 * x)


def test_parameters_are_updated_in_place(table: object) -> None:
    launch = Launch("count", "count", (), (Ref(0),), -1, (), (0,), (0,), 5, 0, 5, 5, ())
    storage = np.zeros(5, np.float32)
    executor = Executor(plan_of([buffer("p", "parameter", 5)], [launch]), [storage], [], table)
    for _ in range(3):
        executor.run([], [])
    np.testing.assert_array_equal(storage, np.full(5, 3))


def test_random_state_counts_completed_runs(table: object) -> None:
    state = Buffer("rng", "uint64", (2,), 16, "rng")
    out = Buffer("drawn", "uint64", (2,), 16, "output")
    launch = Launch("draw", "draw", (), (Ref(0), Ref(1)), -1, (), (0,), (1,), 1, 0, 1, 1, ())
    executor = Executor(plan_of([state, out], [launch], rng=0), [], [], table, seed=42)
    drawn = np.zeros(2, np.uint64)
    for step in range(3):
        executor.run([], [drawn])
        assert drawn.tolist() == [42, step]
    assert (executor.seed, executor.step) == (42, 3)


def test_outputs_that_are_no_arrays_of_their_own_are_copied(table: object) -> None:
    """An input, a constant and one output twice: each position gets its own array."""
    buffers = [buffer("x", "input", 4), buffer("c", "constant", 4), buffer("y", "output", 4)]
    plan = plan_of(buffers, [add_launch(0, 1, 2, 4)], outputs=(2, 0, 1, 2))
    x, c = np.arange(4, dtype=np.float32), np.full(4, 10, np.float32)
    outputs = [np.zeros(4, np.float32) for _ in range(4)]
    Executor(plan, [], [c], table).run([x], outputs)
    for found, expected in zip(outputs, [x + c, x, c, x + c], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_profile_has_a_time_for_each_launch(table: object) -> None:
    x = np.ones(1000, np.float32)
    times = Executor(chain(6, 1000), [], [], table).run_profiled([x], [np.empty_like(x)])
    assert len(times) == 6
    assert all(time >= 0 for time in times)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": "nothing"}, "asks for kernel 'nothing'"),
        ({"threads": 0}, "1 to 256 threads"),
        ({"parameters": [np.zeros(3, np.float32)]}, "0 parameters, given are 1"),
        ({"programs": ((-1,),)}, "tile program 0 is malformed"),
        ({"operands": (Ref(0), Ref(0), Ref(REGISTERS))}, "no results in registers"),
    ],
)
def test_what_does_not_fit_together_is_refused(table: object, change: dict[str, Any], message: str) -> None:
    plan = plan_of([buffer("x", "input", 4), buffer("y", "output", 4)], [add_launch(0, 0, 1, 4)])
    launch = {name: change[name] for name in ("kernel", "operands") if name in change}
    plan = replace(plan, launches=(replace(plan.launches[0], **launch),), programs=change.get("programs", ()))
    with pytest.raises(InternalError, match=message):
        Executor(plan, change.get("parameters", []), [], table, change.get("threads", 1))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ((0, 16, 16, -1), None),
        ((0, 16, 17, -1), "operand 1 of launch 0 .* needs 17 bytes"),
        ((0, 16, -1), "operand 1 of launch 0 .* needs -1 bytes"),
        ((0, 16, 16, 16, -1), "only 2 operands"),
    ],
)
def test_a_program_that_leaves_its_buffers_is_refused(
    table: object, program: tuple[int, ...], message: str | None
) -> None:
    launch = replace(add_launch(0, 0, 1, 4), program=0, program_operands=(Ref(0), Ref(1)))
    plan = replace(plan_of([buffer("x", "input", 4), buffer("y", "output", 4)], [launch]), programs=(program,))
    if message is None:
        Executor(plan, [], [], table)
    else:
        with pytest.raises(InternalError, match=message):
            Executor(plan, [], [], table)


def test_calls_from_several_python_threads(table: object) -> None:
    """Several executors share the pool: one has it, the others run alone, all are right."""
    x = np.random.default_rng(1).normal(size=2048).astype(np.float32)
    plan, wrong = chain(30, 2048, 64, 10**6), []

    def work() -> None:
        executor, y = Executor(plan, [], [], table, 3), np.empty_like(x)
        for _ in range(30):
            executor.run_together([x], [y])
            if not np.array_equal(y, expected_chain(30, x)):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on(table: object) -> None:
    x = np.ones(1024, np.float32)
    executor, y = Executor(chain(10, 1024, 64, 10**6), [], [], table, 3), np.zeros(1024, np.float32)
    executor.run_together([x], [y])
    child = os.fork()
    if child == 0:
        y[:] = 0
        executor.run_together([x], [y])
        executor.run_together([x], [y])
        os._exit(0 if np.all(y == 11) else 1)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        threading.Event().wait(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0


def test_control_c_leaves_everything_usable(table: object) -> None:
    """The signal arrives while steps of about 50 ms run on all threads; the step completes, then comes the error."""
    buffers = [buffer("x", "input", 64), buffer("y", "output", 64)]
    plan = plan_of(buffers, [add_launch(0, 0, 1, 64, tile=1, kernel="wait", work=10**6, wait=1_000_000)])
    x, y = np.ones(64, np.float32), np.zeros(64, np.float32)
    executor = Executor(plan, [], [], table, 2)
    timer = threading.Timer(0.01, signal.raise_signal, [signal.SIGINT])
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores the signal

    def run_until_interrupted() -> None:
        for _ in range(200):
            executor.run_together([x], [y])

    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_until_interrupted()
    signal.signal(signal.SIGINT, handler)
    timer.join()
    before = executor.step
    y[:] = 0
    executor.run_together([x], [y])
    assert executor.step == before + 1
    np.testing.assert_array_equal(y, 2 * x)


# Allocations -----------------------------------------------------------------------------------------------------
@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="counts allocations with LD_PRELOAD")
@pytest.mark.parametrize(
    ("kernel", "threads", "allocates"), [("add", 1, False), ("add", 2, False), ("allocate", 1, True)]
)
def test_a_step_allocates_nothing(tmp_path: Path, kernel: str, threads: int, allocates: bool) -> None:
    """Counts every malloc of the process between the start and the end of a step; an allocating kernel is noticed."""
    counter = compile_c(HERE / "allocations.c", tmp_path / "counter.so", "-shared", "-fPIC")
    library = compile_c(HERE / "kernels.c", tmp_path / "kernels.so", "-shared", "-fPIC")
    script = f"""
        import ctypes, numpy as np
        from pathlib import Path
        from dataclasses import replace
        from graphc.runtime.executor import Executor
        from tests.runtime.support import chain, table_of

        counter = ctypes.CDLL({str(counter)!r})
        address = lambda name: ctypes.cast(getattr(counter, name), ctypes.c_void_p).value
        plan = chain(12, 4096, 64, 10**8)  # so much work that it is shared at once
        plan = replace(plan, launches=tuple(replace(launch, kernel={kernel!r}) for launch in plan.launches))
        executor = Executor(plan, [], [], table_of(Path({str(library)!r})), {threads})
        x = np.ones(4096, np.float32)
        executor.run([x], [np.empty_like(x)])
        executor.watch(address("count_from_here"), address("count_to_here"))
        for _ in range(10):
            executor.run([x], [np.empty_like(x)])
        print("allocations", counter.allocations(), "steps", counter.steps())
    """
    environment = {**os.environ, "LD_PRELOAD": str(counter), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    _, allocations, _, steps = result.stdout.split()
    assert int(steps) == 10
    assert (int(allocations) > 0) == allocates


@needs_compiler
@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_the_walker_under_a_sanitizer(tmp_path: Path, sanitizer: str) -> None:
    """A C driver runs random dependency graphs on several threads; the sanitizer ends it at the first fault."""
    flags = (f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-g1")
    try:
        driver = compile_c(HERE / "walker.c", tmp_path / "walker", *flags)
    except subprocess.CalledProcessError:
        pytest.skip(f"the compiler has no {sanitizer} sanitizer")
    result = subprocess.run([str(driver)], capture_output=True, text=True, timeout=120)
    if "unexpected memory mapping" in result.stderr:
        pytest.skip("the sanitizer cannot run in this address space")
    assert result.returncode == 0, result.stderr
    assert "agree" in result.stdout


@needs_compiler
def test_the_walker_test_notices_a_missing_dependency(tmp_path: Path) -> None:
    driver = compile_c(HERE / "walker.c", tmp_path / "walker", "-DFORGET")
    assert subprocess.run([str(driver)], capture_output=True, timeout=120).returncode == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no such memory, or all of it")
def test_freed_memory_is_returned() -> None:
    """Blocks too small for pages of their own, all freed but the last: the C library keeps them until it is told."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    blocks = [b"x" * 100_000 for _ in range(500)]
    last = b"y" * 100_000
    del blocks
    before = resident()
    return_freed_memory()
    assert last
    assert before - resident() > 20_000_000


def test_a_launch_of_several_tiles_and_little_work_is_run_whole(table: object) -> None:
    """Alone in its stage, between launches that threads share."""
    size = 4096
    buffers = [buffer("x", "input", size), buffer("y", "output", size, 0, 2, 2)]
    buffers += [buffer(f"t{i}", "arena", size, 4 * size * i, i, i + 1) for i in range(2)]
    launches = [
        add_launch(0, 0, 2, size, tile=64, work=10**7),
        add_launch(2, 0, 3, size, tile=512, work=100, depends=[0]),
        add_launch(3, 0, 1, size, tile=64, work=10**7, depends=[1]),
    ]
    plan, x = plan_of(buffers, launches, arena=8 * size), np.arange(size, dtype=np.float32)
    (result,) = run(plan, table, x, threads=2, together=True)
    np.testing.assert_array_equal(result, expected_chain(3, x))
