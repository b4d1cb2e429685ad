"""The table of backends: which are there, and that a backend is imported no earlier than it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import graphc as gx
from graphc.aot.exporting import FORMS
from graphc.backends.backend import Backend, Deferred
from graphc.backends.cuda.backend import CUDA
from graphc.backends.table import BACKENDS
from tests.conftest import ROOT

ARRAYS = {"", ".engine", ".engine.device", ".engine.device_array", ".kernel"}  # what `gx.DeviceArray` needs
IMPORTED = """
import os, sys
import numpy as np
import graphc as gx

def found():
    return " ".join(name for name in sys.modules if name.startswith(("graphc.backends.cuda", "graphc.aot.cuda")))

print(found())
x = gx.input("x", (3,))
gx.compile([x], x + 1, backend="cython")(np.ones(3, np.float32))
gx.compile([x], x + 1)(np.ones(3, np.float32))
print(found())
os.environ["GRAPHC_CUDA"] = "simulate"
gx.compile([x], x + 1, backend="cuda")(np.ones(3, np.float32))
print(found())
"""


def test_importing_graphc_imports_of_cuda_what_arrays_on_a_device_need() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, cwd=ROOT)
    first, other, cuda = (set(line.split()) for line in done.stdout.splitlines())
    assert first == other == {f"graphc.backends.cuda{name}" for name in ARRAYS}
    assert first < cuda >= {"graphc.backends.cuda.engine.engine", "graphc.backends.cuda.compiler.cubins"}


def test_a_deferred_backend_is_its_record() -> None:
    for name, backend in BACKENDS.items():
        assert (backend.name, isinstance(backend.automatic, bool)) == (name, True)
    deferred = Deferred("cuda", "graphc.backends.cuda.backend", automatic=False)
    assert (deferred.name, deferred.automatic) == (CUDA.name, CUDA.automatic)
    assert (deferred.lack, deferred.how) == (CUDA.lack, CUDA.how)
    assert isinstance(deferred, Backend)
    with pytest.raises(AttributeError, match="speed"):
        _ = deferred.speed


def test_forms_are_of_backends_by_name() -> None:
    for name, form in FORMS.items():
        assert form().backend == name
        assert name in BACKENDS


def test_a_device_array_is_public() -> None:
    assert gx.DeviceArray.__module__ == "graphc.backends.cuda.engine.device_array"
