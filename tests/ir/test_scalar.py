"""Numbers by their bits, and that no record of the compiler compares a program's numbers in another way."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import numpy as np
import pytest

import graphc
from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES

VALUES = {
    "float": [0.0, -0.0, 1.0, -1.0, 0.1, np.inf, -np.inf, np.nan, -np.nan],
    "int": [0, 1, -1, 100],
    "uint": [0, 1, 100],
    "bool": [False, True],
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_bits_are_kept_and_told_apart(dtype) -> None:
    arrays = [np.asarray(value).astype(dtype.numpy) for value in VALUES[dtype.kind]]
    if dtype.is_float:  # a NaN with a payload
        arrays.append((arrays[-2].view(f"u{dtype.itemsize}") | 1).view(dtype.numpy))
    scalars = [Scalar.of(dtype, array) for array in arrays]
    assert len(set(scalars)) == len(arrays)
    for scalar, array in zip(scalars, arrays, strict=True):
        assert scalar.element.tobytes() == array.tobytes()
        assert scalar == Scalar.of(dtype, array.copy())
        np.testing.assert_equal(scalar.value, array.item())
        if dtype.kind != "bool" and not np.isnan(float(array)):
            assert Scalar.of(dtype, dtype.numpy.type(str(scalar))) == scalar


def test_equal_numbers_of_other_dtypes_are_other_scalars() -> None:
    assert len({Scalar.of(dtype, 1) for dtype in DTYPES.values()}) == len(DTYPES)


# Records -------------------------------------------------------------------------------------------------------------
ROOMS = ("ir", "passes", "fusion", "kernel", "memory", "backends", "assembly", "aot")
NUMBERS = ("float", "complex", "Any", "Array", "ndarray", "generic")
# Fields that may hold such numbers, with what these are: no two records are taken for one by them.
OTHER_NUMBERS = {
    "DType.numpy": "a type, in a record compared by identity",
    "_Product.constant": "of a product that is being read; never compared",
    "LibraryCall.slowness": "an estimate of cost",
    "Choice.overhead": "a bound on cost",
    "Point.cost": "an estimate of cost",
    "_Look.cost": "an estimate of cost",
    "_Trade.gain": "an estimate of cost",
    "Recipe.cost": "an estimate of cost",
    "Problem.costs": "estimates of cost",
    "Assembled.constants": "arrays, kept by position; never compared",
    "Planned.constants": "arrays, kept by position; never compared",
    "Planning.code_of": "a function",
    "Planning.engine": "a function",
    "Form.engine": "a function",
    "Bundle.state": "arrays, kept by name; never compared",
    "Bundle.facts": "what a manifest tells; never compared",
    "Made.facts": "what a manifest tells; never compared",
    "Made.about": "what a manifest tells; never compared",
    "Lent.kept": "an object of another library; never compared",
    "Touched.read": "which elements, of a simulated kernel; never compared",
    "Touched.written": "which elements, of a simulated kernel; never compared",
    "_Launched.pointers": "addresses",
    "LibraryTask.operands": "addresses, and which elements, of a simulated library; never compared",
    "LibraryTask.run": "a function",
    "_Attention.scale": "of a call that is being read; never compared",
    "Rewrite.differs": "examples of the document; never compared",
}


def numbers_of(record: type) -> Iterator[str]:
    """The fields of a record whose type may hold a floating-point number."""
    if not (dataclasses.is_dataclass(record) or (issubclass(record, tuple) and hasattr(record, "_fields"))):
        return
    for name, hint in inspect.get_annotations(record).items():
        text = getattr(hint, "__forward_arg__", str(hint)).replace("Callable[..., Any]", "")
        if not text.startswith("ClassVar") and any(number in text for number in NUMBERS):
            yield f"{record.__name__}.{name}"


def test_records_of_the_compiler_hold_numbers_as_bits() -> None:
    """`==` on floats would merge 0.0 with -0.0 in what is shared: hold a Scalar, or say above why it is harmless."""
    found = set()
    for module in pkgutil.walk_packages(graphc.__path__, "graphc."):
        if module.name.split(".")[1] in ROOMS:
            classes = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
            found |= {field for _, c in classes if c.__module__ == module.name for field in numbers_of(c)}
    assert found == set(OTHER_NUMBERS)


def test_the_test_notices() -> None:
    @dataclasses.dataclass(frozen=True)
    class Number:
        value: float | int
        name: str

    assert list(numbers_of(Number)) == ["Number.value"]
