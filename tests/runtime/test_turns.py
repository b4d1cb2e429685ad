"""Whose turn it is: calls within calls, programs that share parameters, forks and Ctrl-C. Nothing hangs or tears."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.errors import BusyError
from graphc.ops.guard import Guard, joined
from tests.runtime.support import COMPILER

BACKENDS = [
    "numpy", "cython", pytest.param("c", marks=pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")),
]  # fmt: skip
SIZE = 1 << 17  # so large that a step takes longer than a thread waits for the interpreter
X = np.ones(3, np.float32)
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")


class Counting:
    """A program of two parameters that every step raises by one, and what else may be asked of it."""

    def __init__(self, backend: str) -> None:
        self.backend, self.x = backend, gx.input("x", (3,))
        self.a, self.b = gx.parameter("a", np.zeros(SIZE, np.float32)), gx.parameter("b", np.zeros(SIZE, np.float32))
        self.updates = {self.a: self.a + 1, self.b: self.b + 1}
        self.step = gx.compile([self.x], self.x * 2, self.updates, backend=backend)

    def other(self) -> gx.Program:
        """Another program of the same parameters, made now."""
        return gx.compile([], [self.a, self.b], backend=self.backend)


class Interrupted:
    """An engine that a signal handler comes to before and after it runs."""

    def __init__(self, engine: Any, handler: Callable[[], Any]) -> None:
        self.engine, self.handler = engine, handler

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def run(self, *arrays: Any) -> None:
        handle(self.handler)
        self.engine.run(*arrays)
        handle(self.handler)


def handle(act: Callable[[], Any]) -> None:
    """Have `act` done by a signal handler now."""
    old = signal.signal(signal.SIGUSR1, lambda number, frame: act())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, old)


def within_a_call(program: gx.Program, act: Callable[[], Any]) -> list[Any]:
    """What `act` answers with, or raises, in a handler before and after the step."""
    found: list[Any] = []

    def noted() -> None:
        try:
            found.append(act())
        except BusyError as error:
            found.append(error)

    engine = program._engine
    program._engine = Interrupted(engine, noted)  # type: ignore[assignment]
    try:
        np.testing.assert_array_equal(program(X), X * 2)
    finally:
        program._engine = engine
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_would_wait_for_its_own_call_is_refused(backend: str) -> None:
    counting = Counting(backend)
    reader, state = counting.other(), counting.step.state_dict()
    acts: dict[str, Callable[[], Any]] = {
        "call": lambda: counting.step(X),
        "other program": reader,
        "load": lambda: counting.step.load_state_dict(state),
        "seed": lambda: setattr(counting.step, "seed", 1),
        "step": lambda: setattr(counting.step, "step", 1),
        "compile": counting.other,
    }
    for what, act in acts.items():
        before, after = within_a_call(counting.step, act)
        assert isinstance(before, BusyError), what
        assert isinstance(after, BusyError), what
        assert "in the middle of a call of a program" in str(before)
    assert counting.step.step == len(acts)
    np.testing.assert_array_equal(counting.a.value, np.full(SIZE, len(acts)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_can_be_read_within_a_call(backend: str) -> None:
    """Saving on SIGTERM: what is read is that from before the step, or from after it."""
    counting = Counting(backend)
    for number, act in enumerate([
        lambda: counting.step.state_dict()["a"],
        lambda: counting.a.value,
        lambda: gx.evaluate([counting.b], {})[0],
    ]):  # fmt: skip
        before, after = within_a_call(counting.step, act)
        np.testing.assert_array_equal(before, np.full(SIZE, number))
        np.testing.assert_array_equal(after, np.full(SIZE, number + 1))


def test_a_program_of_other_parameters_can_be_called_within_a_call() -> None:
    one, other = Counting("cython"), Counting("cython")
    found = within_a_call(one.step, lambda: other.step(X))
    assert [list(result) for result in found] == [[2, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_array_may_be_made_by_the_program_that_takes_it(backend: str) -> None:
    """Other libraries' arrays are converted before the call has its turn."""
    counting = Counting(backend)

    class Array:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            assert counting.step.state_dict()["a"][0] == 0
            return counting.step(X)

    np.testing.assert_array_equal(counting.step(Array()), X * 4)
    assert counting.step.step == 2


def test_values_from_within_a_profile_or_a_change_are_refused() -> None:
    guard = Counting("cython").step.guard
    for doing in ("a profile", "setting the state"):
        with pytest.raises(BusyError, match=doing):
            guard.hold(lambda: guard.hold(lambda: None), doing)
    assert guard.hold(lambda: 5) == 5


# Threads --------------------------------------------------------------------------------------------------------------
def raced(acts: list[Callable[[], Any]], rounds: int) -> None:
    """Do each act `rounds` times on a thread of its own, all at the same time."""
    faults: list[BaseException] = []

    def repeated(act: Callable[[], Any]) -> None:
        try:
            for _ in range(rounds):
                act()
        except BaseException as error:  # noqa: BLE001 - it is raised by the main thread
            faults.append(error)

    threads = [threading.Thread(target=repeated, args=(act,), daemon=True) for act in acts]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
    if faults:
        raise faults[0]


def assert_whole(values: Any) -> None:
    """All numbers in all arrays are the same: that from after one step."""
    assert len(np.unique(np.concatenate([np.ravel(value) for value in values]))) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_nobody_sees_half_an_update(backend: str) -> None:
    counting = Counting(backend)
    reader, states = counting.other(), [{n: np.full(SIZE, v, np.float32) for n in ("a", "b")} for v in (1000, 2000)]

    def load() -> None:
        for state in states:
            counting.step.load_state_dict(state)

    reads = [
        lambda: assert_whole(reader()),
        lambda: assert_whole(counting.step.state_dict().values()),
        lambda: assert_whole([counting.a.value]),
        lambda: assert_whole(gx.evaluate([counting.a, counting.b], {})),
    ]
    raced([lambda: counting.step(X), load, *reads], 200 if backend != "numpy" else 60)


def test_sets_that_come_to_be_shared_while_they_are_used() -> None:
    """Programs that bridge two sets, made in several threads: none waits in a circle, and turns are taken at once."""
    parts = [Counting("cython") for _ in range(4)]

    def bridge() -> None:
        order = np.random.default_rng().permutation(4)
        tensors = [getattr(parts[i], name) for i in order[:2] for name in "ab"]
        program = gx.compile([], tensors, backend="cython")
        for _ in range(5):
            values = program()
            assert_whole(values[:2])
            assert_whole(values[2:])

    raced([*(lambda part=part: part.step(X) for part in parts), bridge, bridge], 20)
    assert len({part.step.guard.root() for part in parts}) == 1


def test_one_lock_for_each_set() -> None:
    guards = [Guard() for _ in range(5)]
    joined(guards[:2])
    joined(guards[3:])
    assert guards[0].root() is guards[1].root() is not guards[2].root()
    joined([guards[4], guards[1]])
    assert len({guard.root() for guard in guards}) == 2
    assert joined([]).root() is not joined([]).root()


# Processes ------------------------------------------------------------------------------------------------------------
def in_child(script: str, timeout: float = 60) -> str:
    """What a process prints that runs `script`, which ends in time."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_takes_turns_of_its_own() -> None:
    """It is forked while another thread is in the middle of a step."""
    counting = Counting("cython")
    started, over = threading.Event(), threading.Event()

    def stay() -> None:
        counting.step.guard.hold(lambda: (started.set(), over.wait(60)), "a test")

    thread = threading.Thread(target=stay)
    thread.start()
    started.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        counting.step(X)
        os._exit(0 if counting.a.value[0] == 1 else 1)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_ctrl_c_at_any_moment_leaves_programs_that_run() -> None:
    """Also while threads of the pool are started: the first step of this process that is worth sharing."""
    out = in_child("""
        import signal, time
        import numpy as np, graphc as gx

        x = gx.input("x", (400, 400))
        w = gx.parameter("w", np.eye(400, dtype=np.float32))
        program = gx.compile([x], gx.sum((x @ w) @ (x @ w).T), {w: w * 1}, backend="cython", threads=4)
        reader = gx.compile([], w, backend="cython")
        value, caught = np.ones((400, 400), np.float32), 0
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        for number in range(60):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-5 + 2e-4 * number)
                    for _ in range(20):
                        program(value), reader(), w.value, program.state_dict()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                caught += 1
        expected = np.sum((value @ value.T).astype(np.float64)) * 1.0
        assert np.isclose(program(value), expected, rtol=1e-3), (program(value), expected)
        assert not program.guard.root().busy
        print(caught)
    """)
    assert int(out) > 20


def test_saving_on_a_signal_does_not_hang() -> None:
    """A process that is told to end saves its state from the handler, wherever it is."""
    out = in_child("""
        import os, signal, sys, threading, time
        import numpy as np, graphc as gx

        x, w = gx.input("x", (64, 64)), gx.parameter("w", np.zeros((64, 64), np.float32))
        step = gx.compile([x], x @ w, {w: w + 1}, backend="cython")

        def save(number, frame):
            values = step.state_dict()["w"]
            print(len(np.unique(values)), flush=True)
            sys.exit(0)

        signal.signal(signal.SIGTERM, save)
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        while True:
            step(np.ones((64, 64), np.float32))
    """)
    assert out == "1\n"
