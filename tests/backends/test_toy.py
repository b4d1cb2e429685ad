"""A backend of fifty lines runs every case of every function, trains, and draws as the others do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.backends import table
from graphc.ops.record import FUNCTIONS
from tests.backends import toy
from tests.ops.helpers import cases
from tests.ops.test_backends import check

DOCUMENT = Path(gx.__file__).parent / "docs" / "add_a_backend.md"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of backends/table.py."""
    monkeypatch.setitem(table.BACKENDS, toy.TOY.name, toy.TOY)
    monkeypatch.setattr("graphc.api.NAMES", (*table.NAMES, toy.TOY.name))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_it_runs_the_table(name: str) -> None:
    check(cases(FUNCTIONS[name], FUNCTIONS[name].dtypes[:1]), "toy")


def test_it_trains_as_the_reference_does() -> None:
    def losses(backend: str) -> list[bytes]:
        x = gx.input("x", (8, 5))
        model = nn.Sequential(nn.Linear(5, 4, rng=0), nn.Dropout(0.3), nn.Linear(4, 1, rng=1))
        loss = gx.mean(model(x) ** 2)
        step = gx.compile([x], loss, optim.Adam(lr=0.1).minimize(loss, model.parameters()), backend=backend, seed=3)
        array = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
        return [step(array).tobytes() for _ in range(4)]

    assert losses("toy") == losses("numpy")


def test_the_document_shows_it() -> None:
    source = Path(toy.__file__).read_text()
    assert len(source.splitlines()) < 80
    body = source.partition("\n\n\n")[2]
    assert body.strip() in DOCUMENT.read_text()
