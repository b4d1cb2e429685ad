"""Inputs, parameters, state and constants."""

import gc

import ml_dtypes
import numpy as np
import pytest

import graphc as gx
from graphc.errors import DTypeError, GraphError, ShapeError


def test_inputs():
    x = gx.input("x", (64, 10))
    assert (x.shape, x.dtype.name, repr(x)) == ((64, 10), "float32", "<input 'x': float32[64, 10]>")
    assert gx.input("n", 3, int).type == gx.input("n", [3], np.int64).type
    assert x.location.text == 'x = gx.input("x", (64, 10))'
    again = gx.input("x", (64, 10))
    assert again is x
    assert x.location.text == 'again = gx.input("x", (64, 10))', "an error shows the line that asked last"


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (("", (2,)), GraphError, "non-empty string"),
        ((3, (2,)), GraphError, "non-empty string, not 3"),
        (("evil\udcff", (2,)), GraphError, "half a character"),
        (("x", (2, -1)), ShapeError, "integers >= 0"),
        (("x", "ab"), ShapeError, "integers >= 0"),
        (("x", None), ShapeError, "tuple of integers"),
        (("x", (2,), "float31"), DTypeError, "float31"),
        (("x", (2,), "complex64"), DTypeError, "complex64"),
    ],
)
def test_bad_inputs(args, error, message):
    with pytest.raises(error, match=message) as caught:
        gx.input(*args)
    assert __file__ in str(caught.value)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1.5, None, "float32"),
        ([1.5, 2.5], None, "float32"),
        (np.ones(3), None, "float64"),
        (np.float16(1), None, "float16"),
        (np.ones(3), "float32", "float32"),
        ([1.0], np.float64, "float64"),
        (np.ones(3, ml_dtypes.bfloat16), None, "bfloat16"),
    ],
)
def test_parameter_dtypes(value, dtype, expected):
    w = gx.parameter("w", value, dtype=dtype)
    assert w.dtype.name == expected
    assert w.value.dtype == w.dtype.numpy
    assert w.trainable
    np.testing.assert_array_equal(w.value, value)


def test_parameters_are_never_merged_and_own_their_values():
    array = np.ones((2, 3))
    a, b = gx.parameter("w", array), gx.parameter("w", array)
    assert a is not b
    array[:] = 7
    a.value = np.zeros((2, 3))
    np.testing.assert_array_equal(a.value, np.zeros((2, 3)))
    np.testing.assert_array_equal(b.value, np.ones((2, 3)))
    gc.collect()
    assert (a + b).inputs[0] is a


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (0, 4)])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int8", "bool"])
def test_storage_is_aligned_and_contiguous(shape, dtype):
    p = gx.state("p", np.ones((*shape[::-1],)).T, dtype=dtype)
    assert p.storage.ctypes.data % 64 == 0
    assert p.storage.flags.c_contiguous
    assert p.shape == shape
    assert not p.trainable


def test_writing_a_value_is_checked():
    w = gx.parameter("w", [1.0, 2.0])
    w.value = [3, 4]
    np.testing.assert_array_equal(w.value, [3, 4])
    with pytest.raises(ShapeError, match="takes values of shape"):
        w.value = [1.0]
    with pytest.raises(DTypeError, match="takes float32 values"):
        w.value = np.array([1j, 2])


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: gx.parameter("", 1.0), GraphError, "name of a parameter"),
        (lambda: gx.parameter("w", [1, 2]), DTypeError, "int64, which cannot be trained.*gx.state"),
        (lambda: gx.parameter("w", ["a"]), DTypeError, "cannot make a parameter 'w'"),
        (lambda: gx.parameter("w", [[1.0], [1.0, 2.0]]), DTypeError, "cannot make a parameter 'w'"),
        (lambda: gx.parameter("w", np.ones(2, np.complex64)), DTypeError, "complex64"),
        (lambda: gx.parameter("w", gx.input("x", (2,))), GraphError, "symbolic"),
        (lambda: gx.state("s", object()), DTypeError, "cannot make a parameter 's'"),
    ],
)
def test_bad_parameters(build, error, message):
    with pytest.raises(error, match=message) as caught:
        build()
    assert __file__ in str(caught.value)


def test_constants():
    assert gx.constant([1.0, 2.0]).dtype.name == "float32"
    assert gx.constant(np.ones(2)).dtype.name == "float64"
    assert gx.constant(3).dtype.name == "int64"
    assert gx.constant([1.0, 2.0]) is gx.constant(np.float32([1, 2]))
    assert gx.constant(0.0) is not gx.constant(-0.0)
