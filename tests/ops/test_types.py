"""The table of docs/types.md is true: numbers are weak, arrays state their dtype, float64 data that widens warns."""

from __future__ import annotations

import re
import warnings
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.errors import DTypeError, GraphcWarning, InputError

_ROW = re.compile(r"^\| `(.+)` \| (\w+) \|$", re.MULTILINE)
_QUIET, _WARNING = (_ROW.findall(part) for part in files(gx).joinpath("docs/types.md").read_text().split("and warn:"))
BACKENDS = ("numpy", "cython", "c")


def built(expression: str) -> Any:
    names = {name: gx.input(name, (3,), dtype) for name, dtype in
             (("x", "float32"), ("d", "float64"), ("h", "float16"), ("i", "int8"), ("b", "bool"))}  # fmt: skip
    return eval(expression, {"gx": gx, "np": np}, names)


@pytest.mark.parametrize(("expression", "dtype"), _QUIET)
def test_the_table_of_types(expression: str, dtype: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert built(expression).dtype.name == dtype


@pytest.mark.parametrize(("expression", "dtype"), _WARNING)
def test_float64_data_is_not_mixed_in_silence(expression: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphc.ir.notice._given", set())
    with pytest.warns(GraphcWarning, match=r"float64 data .* makes float64 of .*astype\(np.float32\)") as caught:
        results = [built(expression) for _ in range(2)]
    assert [result.dtype.name for result in results] == [dtype, dtype]
    assert len(caught) == 1
    assert caught[0].filename == "<string>"


def test_the_table_has_every_door() -> None:
    assert len(_QUIET) > 45
    assert len(_WARNING) == 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scalar_of_numpy_keeps_a_graph_in_float32(backend: str) -> None:
    x = gx.input("x", (3,))
    program = gx.compile([x], x / np.sqrt(3), backend=backend)
    result = program(np.float32([1, 2, 3]))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.float32([1, 2, 3]) / np.float32(np.sqrt(3)))


def test_a_number_must_fit() -> None:
    i = gx.input("i", (3,), "int8")
    with pytest.raises(DTypeError, match="1000 is out of bounds for int8") as caught:
        i + np.int64(1000)
    assert __file__ in str(caught.value)
    with pytest.raises(DTypeError, match="complex"):
        gx.constant(np.complex64(1))
    with pytest.raises(DTypeError, match="timedelta"):
        i + np.timedelta64(1, "s")


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_take_scalars_of_numpy_as_numbers(backend: str) -> None:
    lr, n = gx.input("lr", ()), gx.input("n", (), "int32")
    program = gx.compile([lr, n], lr * n, backend=backend)
    assert program(np.float64(0.5), np.int64(3)) == 1.5
    with pytest.raises(InputError, match="'n' takes int32"):
        program(np.float64(0.5), np.float64(3))
    with pytest.raises(InputError, match="'lr' takes float32"):
        program(np.array(0.5), 3)  # an array states its dtype
