"""Programs compiled in parts: as many compilers as there are processors, one library, the same results."""

import numpy as np
import pytest

import graphc as gx
from graphc.toolchain import build as module
from graphc.toolchain.compiler import compiler_or_reason


@pytest.fixture(autouse=True)
def compiler() -> None:
    if isinstance(reason := compiler_or_reason(), str):
        pytest.skip(reason)


def results(monkeypatch, folder, processors):
    """A step's results with so many processors, and the masks that compilers were run with."""
    run, seen = module.run_compilers, []

    def watched(command, flags, source, masks, folder, deadline):
        seen.extend(masks)
        return run(command, flags, source, masks, folder, deadline)

    monkeypatch.setattr(module, "run_compilers", watched)
    monkeypatch.setattr(module, "processors", lambda: processors)
    monkeypatch.setenv("GRAPHC_CACHE", str(folder))
    x, w = gx.input("x", (33, 20)), gx.input("w", (20, 17))
    y = gx.softmax(gx.tanh(x @ w) + gx.sigmoid(x @ w), axis=1)
    grads = gx.grad(gx.sum(gx.log(y + 1) * gx.sin(y)), [x, w])
    program = gx.compile([x, w], [y, *grads], backend="c", threads=1)
    rng = np.random.default_rng(0)
    return program(*(rng.standard_normal(t.shape, np.float32) for t in (x, w))), [*seen]


def test_parts_give_what_the_whole_gives(monkeypatch, tmp_path):
    whole, none = results(monkeypatch, tmp_path / "one", 1)
    parts, masks = results(monkeypatch, tmp_path / "three", 3)
    assert none == []
    assert len(masks) in (2, 3)
    assert sum(masks) == (1 << sum(map(int.bit_count, masks))) - 1
    assert [a.tobytes() for a in parts] == [a.tobytes() for a in whole]


def test_what_cannot_be_compiled_in_parts_is_compiled_whole(monkeypatch, tmp_path):
    whole, _ = results(monkeypatch, tmp_path / "one", 1)
    bounded = module.run_compiler.__globals__["run_bounded"]

    def failing(command, *arguments):
        faulty = any(word.startswith("-DGC_PARTS") for word in command)
        return bounded(["false"] if faulty else command, *arguments)

    monkeypatch.setitem(module.run_compiler.__globals__, "run_bounded", failing)
    again, masks = results(monkeypatch, tmp_path / "three", 3)
    assert masks
    assert [a.tobytes() for a in again] == [a.tobytes() for a in whole]
