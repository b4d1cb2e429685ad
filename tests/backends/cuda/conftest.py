"""Simulated devices with vendors' libraries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.simulator.driver import SimulatedDriver
from graphc.backends.cuda.vendor import installed, trying


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Device]:
    """A simulated device with libraries, on which nothing was tried before."""
    monkeypatch.setenv("GRAPHC_CUDA", "simulate,libraries")
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trying, "ROUNDS", 1)
    monkeypatch.setattr(trying, "REPEATS", 2)
    found = Device(SimulatedDriver())
    monkeypatch.setattr("graphc.backends.cuda.backend.chosen_device", lambda: found)
    yield found
    installed.library_of.cache_clear()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries are faster than own kernels, whatever the clock says."""
    timed, times = trying._Trial.timed, iter(range(10_000, 0, -1))
    monkeypatch.setattr(trying._Trial, "timed", lambda *args: (timed(*args), float(next(times)))[1])
