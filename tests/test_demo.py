"""The demo, in brief: what it prints and what it leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.demo import run_demo
from graphc.examples import digits_cnn


def test_demo_trains_reports_and_saves(tmp_path, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    assert run_demo(tmp_path / "out", epochs=2, compare=False) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cnn.safetensors",
        "digits.png",
        "mlp.safetensors",
    ]
    assert (tmp_path / "out" / "digits.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for text in ("MLP", "CNN", "accuracy", "memory of the CNN step", "steps/s"):
        assert text in printed
    model = digits_cnn.build(seed=9)
    model.load(tmp_path / "out" / "cnn.safetensors")
    assert np.isfinite(model[0].weight.value).all()
    assert model[1].num_batches_tracked.value == 44
