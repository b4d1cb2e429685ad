"""The command line: what each command prints, and its exit codes. Errors come without a traceback."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

import graphc as gx
from graphc.cli import main
from graphc.commands import checking, cuda_facts, doctor
from graphc.commands.target import TargetError, load_target
from graphc.ops.record import OPS
from graphc.plan.format import from_json

MODEL = """
import numpy as np
import graphc as gx
from graphc import nn, optim

def build():
    x, labels = gx.input("x", (8, 6)), gx.input("labels", (8,), "int32")
    model = nn.Sequential(nn.Linear(6, 5, rng=3), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3, rng=4))
    loss = nn.cross_entropy(model(x), labels)
    return [x, labels], {"loss": loss}, optim.AdamW(lr=1e-2).minimize(loss, model.parameters())

def deep():
    x = y = gx.input("x", (512, 64))
    layers = [nn.Sequential(nn.Linear(64, 64, rng=i), nn.GELU()) for i in range(8)]
    for layer in layers:
        y = y + layer(y)
    loss = gx.mean(y * y)
    weights = [weight for layer in layers for weight in layer.parameters()]
    return [x], {"loss": loss}, optim.SGD(lr=0.1).minimize(loss, weights)

def deep_within():
    inputs, outputs, updates = deep()
    return {"inputs": inputs, "outputs": outputs, "updates": updates, "memory_budget": 0.8}

def described():
    x = gx.input("x", (3,))
    return {"inputs": [x], "outputs": x * gx.stop_gradient(gx.exp(x)), "seed": 3, "values": {"x": [1.0, 2.0, 3.0]}}

def mistaken():
    return gx.input("x", (3,)) + gx.input("y", (4,))

def crashing():
    return 1 / 0

def seven():
    return 7

def unknown():
    return {"inputs": [], "output": seven}

def stranger():
    x = gx.input("x", (3,))
    return {"inputs": [x], "outputs": x, "values": {"z": 1}}

number = 3
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.py"
    path.write_text(MODEL)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_version_and_help(capsys):
    assert run(capsys, "--version") == (0, f"graphc {gx.__version__}\n", "")
    code, out, _ = run(capsys, "-h")
    assert code == 0
    for command in ("demo", "doctor", "inspect", "memory", "check", "place", "bench"):
        assert command in out
        assert run(capsys, command, "-h")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required: COMMAND"),
        (("dance",), "invalid choice: 'dance'"),
        (("inspect",), "required: TARGET"),
        (("demo", "--epochs", "0"), "'0' is no whole number of at least 1"),
        (("bench", "--backend", "abacus"), "invalid choice: 'abacus'"),
        (("check", "model"), "a target is MODULE:FUNCTION"),
        (("check", "nowhere_to_be_found:f"), "no module 'nowhere_to_be_found'"),
        (("check", "nowhere.py:f"), "no file nowhere.py"),
        (("check", "{model}:nothing"), "no function 'nothing'; it has build"),
        (("check", "{model}:number"), "is a int, not a function"),
        (("check", "{model}:seven"), "must answer with (inputs, outputs)"),
        (("check", "{model}:unknown"), "unknown keys ['output']"),
        (("memory", "{model}:build", "--budget", "much"), "a memory budget is a number of bytes"),
        (("memory", "{model}:build", "--budget", "0.5", "--frontier"), "not allowed with argument"),
        (("check", "{model}:stranger"), "values are given for ['z']"),
    ],
)
def test_usage_errors(capsys, model, arguments, message):
    code, out, err = run(capsys, *(part.format(model=model) for part in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_failures_name_the_line_and_have_no_traceback(capsys, model):
    code, _, err = run(capsys, "inspect", f"{model}:mistaken")
    assert code == 1
    assert "(3,) and (4,)" in err
    assert "model.py:" in err
    code, _, err = run(capsys, "inspect", f"{model}:crashing")
    assert code == 1
    assert "ZeroDivisionError: division by zero" in err
    with pytest.raises(TargetError) as caught:
        main(["inspect", f"{model}:crashing", "--traceback"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_inspect_prints_every_section(capsys, model):
    code, out, _ = run(capsys, "inspect", f"{model}:build")
    assert code == 0
    for text in ("== graph:", "model.py:", "== optimised:", "updates %", "== kernels:", "reduce sum", "== plan:",
                 "launch  kernel", "gemm_f32", "== memory:", "peak"):  # fmt: skip
        assert text in out


def test_inspect_prints_one_section_alone(capsys, model):
    code, out, _ = run(capsys, "inspect", f"{model}:build", "--section", "json")
    assert code == 0
    assert from_json(out).arena_bytes > 0
    _, out, _ = run(capsys, "inspect", f"{model}:described", "--section", "graph")
    assert out.startswith("graph 1\n%0 = input()")
    assert "stop_gradient" in out


@pytest.mark.parametrize("backend", ["cython", "c"])
def test_memory_is_that_of_the_program(capsys, monkeypatch, model, backend):
    """Told without code: no executor is made, no compiler is asked."""
    program = gx.compile(*load(f"{model}:build"), backend="cython", threads=2)
    for name in ("backends.cpu.executing.Executor", "backends.c.backend.build", "backends.c.backend.find_compiler"):
        monkeypatch.setattr(f"graphc.{name}", None)
    code, out, _ = run(capsys, "memory", f"{model}:build", "--threads", "2", "--backend", backend)
    assert code == 0
    told, expected = out.splitlines()[1:], str(program.memory).splitlines()
    assert told[:6] == expected[:6]
    assert "model.py:9" in out
    if backend == "cython":
        assert out == f"as the cython engine runs it on 2 threads\n{program.memory}\n"


HEAD = "as the cython engine runs it on 1 thread\n"


def load(text):
    target = load_target(text)
    return target.inputs, target.outputs, target.updates


def test_memory_draws_the_arena(capsys, model, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "arena.svg"
    code, out, _ = run(capsys, "memory", f"{model}:build", "--plot", str(path))
    assert (code, out.splitlines()[-1]) == (0, f"the arena over time: {path}")
    assert "model.py:9 in build" in path.read_text()
    code, out, err = run(capsys, "memory", f"{model}:build", "--plot", str(tmp_path / "arena.doc"))
    assert (code, out) == (2, "")
    assert "ends in none of .png, .svg, .pdf" in err


def test_memory_within_a_budget(capsys, model, tmp_path):
    pytest.importorskip("matplotlib")
    target, path = f"{model}:deep", tmp_path / "arena.svg"
    program = gx.compile(*load(target), backend="cython", threads=1, memory_budget=0.8)
    code, out, _ = run(capsys, "memory", target, "--budget", "0.8", "--threads", "1", "--plot", str(path))
    assert (code, out) == (0, f"{HEAD}{program.memory}\nthe arena over time: {path}\n")
    assert "computed again: " in out
    assert "computed again" in path.read_text()
    code, out, _ = run(capsys, "memory", f"{model}:deep_within", "--threads", "1")
    assert (code, out) == (0, f"{HEAD}{program.memory}\n")
    code, out, err = run(capsys, "memory", target, "--budget", "100KiB", "--threads", "1")
    assert (code, out) == (1, "")
    assert "the budget is 102400 bytes (100.00 KiB); the smallest budget that will do is" in err


def test_memory_frontier(capsys, model, tmp_path):
    pytest.importorskip("matplotlib")
    target, path = f"{model}:deep", tmp_path / "frontier.svg"
    found = gx.memory_frontier(*load(target), backend="cython", threads=1)
    code, out, _ = run(capsys, "memory", target, "--frontier", "--threads", "1", "--plot", str(path))
    assert (code, out) == (0, f"{HEAD}{found}\npeak of memory against computing again: {path}\n")
    assert "smallest: " in path.read_text()


def test_inspect_takes_modules_by_name(capsys):
    code, out, _ = run(capsys, "inspect", "graphc.examples.worked_example:build", "--section", "memory")
    assert code == 0
    assert "lower bound" in out


def test_check_accepts_what_is_right(capsys, model):
    code, out, _ = run(capsys, "check", f"{model}:build")
    assert code == 0, out
    assert "7 of 7 right" in out
    code, out, _ = run(capsys, "check", f"{model}:described")
    assert code == 0, out


def test_check_leaves_parameters_alone(model):
    target = load_target(f"{model}:build")
    before = {parameter: parameter.value for parameter in target.updates}
    assert checking.check(target, checking.Console(quiet=True)) == 0
    for parameter, value in before.items():
        np.testing.assert_array_equal(parameter.value, value)


def test_check_notices_a_wrong_gradient(capsys, model, monkeypatch):
    wrong = dataclasses.replace(OPS["exp"], vjp=(lambda g, y, x: g * y * 1.01,))
    monkeypatch.setitem(OPS, "exp", wrong)
    code, out, _ = run(capsys, "check", f"{model}:build")
    assert code == 1
    assert "6 of 7 right" in out


def test_check_notices_a_wrong_backend(capsys, model, monkeypatch):
    right = checking._run

    def wrong(*arguments):
        first, *rest = right(*arguments)
        return [first * 1.01, *rest]

    monkeypatch.setattr(checking, "_run", wrong)
    code, out, _ = run(capsys, "check", f"{model}:build")
    assert code == 1
    assert "wrong" in out


def test_check_forgives_only_what_rounding_does():
    x = gx.input("x", (4,))
    noise = np.float32([1e-6, 0, 0, 0])

    def row(result, shaken):
        return checking._Row(x, np.float32(result), np.float32([1, 2, 3, 4]), np.float32(shaken))

    assert row(np.float32([1, 2, 3, 4]) * (1 + noise), [1, 2, 3, 4]).error <= 1e-4
    assert row([1, 2, 3, 5], [1, 2, 3, 4]).error > 0.2
    assert row([1, 2, 3, 5], [1, 2, 3, 4.5]).error == 0
    assert row([1, 2, 3, 5], [1, 2, 3, 4.01]).error > 0.2
    assert row([1, 2, 3, np.nan], [1, 2, 3, 4]).error == np.inf


def test_doctor_finds_everything_in_order(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    code, out, _ = run(capsys, "doctor")
    assert code == 0, out
    for text in ("baseline", "built", "chosen", "threads", "C compiler", "numpy", "CUDA", "everything works"):
        assert text in out


@pytest.mark.parametrize(
    ("value", "text"),
    [("", "simulate runs kernels without a device"), ("simulate", "GRAPHC_CUDA=simulate"), ("fly", "means nothing")],
)
def test_doctor_tells_of_cuda_and_misses_nothing(monkeypatch, value, text):
    monkeypatch.setenv("GRAPHC_CUDA", value)
    rows = dict(cuda_facts.cuda_rows())
    assert text in rows["environment"]
    assert "pip install 'graphc[cuda" in rows["compiling"] or "needs no device" in rows["compiling"]
    assert set(rows) == {
        "device", "cuda-bindings", "numba-cuda", "nvidia-nvvm", "nvidia-nvjitlink", "compiling", "products",
        "convolutions", "environment",
    }  # fmt: skip


def test_doctor_tests_simulated_kernels(monkeypatch):
    outcome, passed = doctor._run_apart("cuda", {"GRAPHC_CUDA": "simulate"})
    assert passed, outcome


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("CC", "no-such-compiler", "CC='no-such-compiler': there is no program"),
        ("PATH", "", "the prebuilt kernels need none, the faster C engine does"),
        ("GRAPHC_CACHE_LIMIT", "plenty", "'plenty' is no size"),
        ("GRAPHC_CACHE_LIMIT", "3M", "0 programs of 0.0 MiB, of at most 3 MiB"),
    ],
)
def test_doctor_examines_compilers_and_their_cache(monkeypatch, tmp_path, variable, value, text):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv(variable, value)
    assert text in " ".join(text for row in doctor._compiler() for text in row)


def test_doctor_clears_the_cache(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    for name, size in ((f"{'a' * 64}.so", 1 << 20), (f"{'a' * 64}.sum", 64), ("notes.txt", 5)):
        (tmp_path / name).write_bytes(bytes(size))
    expected = f"removed 1 program of 1.0 MiB from {tmp_path}\n"
    assert run(capsys, "doctor", "--clear-cache") == (0, expected, "")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_doctor_reports_crashes(monkeypatch):
    for script, text in (("import os; os.abort()", "crashed with signal 6"), ("raise OSError('broken')", "broken")):
        monkeypatch.setattr(doctor, "_COMMAND", [sys.executable, "-c", script])
        outcome, passed = doctor._run_apart("cython", {})
        assert text in outcome
        assert not passed


def test_bench_measures(capsys):
    code, out, _ = run(capsys, "bench", "--seconds", "0.01", "--threads", "1", "--profile")
    assert code == 0
    for text in ("x + 1", "MLP", "CNN", "gemm_f32", "python -m benchmarks"):
        assert text in out


def test_interruptions_and_missing_files(capsys, model, monkeypatch, tmp_path):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("graphc.cli.run_demo", interrupt)
    assert run(capsys, "demo")[0] == 130
    monkeypatch.setattr("graphc.cli.run_demo", lambda output, *rest: output.mkdir())
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "demo", "--output", str(tmp_path / "file"))
    assert code == 1
    assert "File exists" in err


def test_python_m_graphc():
    done = subprocess.run([sys.executable, "-m", "graphc", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"graphc {gx.__version__}\n"
