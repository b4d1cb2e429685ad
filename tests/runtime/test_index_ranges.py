"""What inputs give as indices is checked in every call: which elements, against which values, what the error says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.errors import InputError, InternalError, ShapeError
from graphc.ir.types import DTYPES
from graphc.plan.verify import verify

BACKENDS = ("numpy", "cython", "c")
TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
P = gx.parameter("p", TABLE)
LOGITS = np.ones((2, 5, 3), np.float32)
Use = Callable[[Any], Any]

# What is built of an index i of shape (2, 3); an allowed value, a forbidden one.
USES: dict[str, tuple[Use, tuple[int, ...], tuple[int, ...]]] = {
    "take": (lambda i: gx.take(TABLE, i, 0), (-4, 0, 3), (-5, 4, 100)),
    "take of a flat tensor": (lambda i: gx.take(TABLE, i), (-12, 11), (-13, 12)),
    "getitem": (lambda i: gx.constant(TABLE)[i], (-4, 3), (-5, 4)),
    "getitem along two axes": (lambda i: gx.constant(TABLE)[i, i], (-3, 2), (-4, 3)),
    "take_along_axis": (lambda i: gx.take_along_axis(TABLE[:2], i, 1), (-3, 2), (-4, 3)),
    "scatter_add": (lambda i: gx.scatter_add(np.zeros(4, np.float32), i, 1), (-4, 3), (-5, 4)),
    "index_add": (lambda i: gx.index_add(np.zeros(4, np.float32), i, 1.0), (-4, 3), (-5, 4)),
    "one_hot": (lambda i: gx.one_hot(i, 4), (0, 3), (-1, 4)),
    "Embedding": (lambda i: nn.Embedding(4, 3)(i), (-4, 3), (-5, 4)),
    "cross_entropy": (lambda i: nn.cross_entropy(gx.constant(LOGITS), i), (0, 4, -100), (-1, 5)),
    "nll_loss": (
        lambda i: nn.nll_loss(gx.constant(LOGITS), i, ignore_index=7), (0, 4, 7), (-100, 5, 8)
    ),
    "cast": (lambda i: gx.take(TABLE, i.astype("int32").astype("int64"), 0), (-4, 3), (-5, 4)),
    "views": (lambda i: gx.take(TABLE, gx.flip(gx.expand_dims(i.T.reshape(-1), 0)), 0), (-4, 3), (-5, 4)),
    "broadcast": (lambda i: gx.take(TABLE, gx.broadcast_to(i, (4, 2, 3)), 0), (-4, 3), (-5, 4)),
    "a gradient": (lambda i: gx.grad(gx.take(P, i, 0).sum(), P), (-4, 3), (-5, 4)),
    "a checkpoint": (lambda i: gx.checkpoint(lambda i: gx.take(TABLE, i, 0))(i), (-4, 3), (-5, 4)),
    "the narrowest of two": (lambda i: gx.take(TABLE, i, 0).sum() + gx.one_hot(i, 9).sum(), (0, 3), (-1, 4, 8)),
}  # fmt: skip
COMPUTED: dict[str, Use] = {
    "sum": lambda i: gx.take(TABLE, i + 1, 0),
    "clip": lambda i: gx.take(TABLE, gx.clip(i, 0, 3), 0),
    "join": lambda i: gx.take(TABLE, gx.concatenate([i, i], 0), 0),
    "from floats": lambda i: gx.take(TABLE, i.astype("float32").astype("int32"), 0),
    "labels": lambda i: nn.cross_entropy(gx.constant(LOGITS), i * 1),
}


def indices(value: int, dtype: str = "int64") -> Any:
    return np.array([[0, 1, 2], [0, value, 1]], dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", USES)
def test_indices_of_inputs_are_checked(name: str, backend: str) -> None:
    build, allowed, forbidden = USES[name]
    i = gx.input("i", (2, 3), "int64")
    program = gx.compile([i], build(i), backend=backend)
    for value in allowed:
        program(indices(value))
    for value in forbidden:
        with pytest.raises(InputError, match=rf"input 'i' holds {value} at \[1, 1\]; .* takes -?\d+ to \d") as caught:
            program(indices(value))
        assert __file__ in str(caught.value)
    assert program.step == len(allowed)


@pytest.mark.parametrize("name", USES)
def test_the_reference_checks_as_well(name: str) -> None:
    build, allowed, forbidden = USES[name]
    i = gx.input("i", (2, 3), "int64")
    result = build(i)
    for value in allowed:
        gx.evaluate([result], {i: indices(value)})
    for value in forbidden:
        with pytest.raises(InputError, match=rf"'i' holds {value} at \[1, 1\]"):
            gx.evaluate([result], {i: indices(value)})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*USES, *COMPUTED])
def test_checks_can_be_switched_off_and_computed_indices_have_none(name: str, backend: str) -> None:
    i = gx.input("i", (2, 3), "int64")
    result = (USES[name][0] if name in USES else COMPUTED[name])(i)
    program = gx.compile([i], result, backend=backend, check_indices=name not in USES)
    np.testing.assert_allclose(program(indices(1)), gx.evaluate([result], {i: indices(1)})[0], rtol=1e-6)
    assert program(indices(100)).shape == result.shape  # the nearest element, or no class


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_the_elements_that_are_indices_count(backend: str) -> None:
    tokens = gx.input("tokens", (3, 5), "int32")
    table = gx.constant(np.random.default_rng(0).standard_normal((10, 7)).astype(np.float32))
    logits = gx.take(table, tokens[:, :-1], 0).transpose((0, 2, 1))
    program = gx.compile([tokens], nn.cross_entropy(logits, tokens[:, 1:]), backend=backend)
    batch = np.ones((3, 5), np.int32)
    batch[1, 4] = -100  # ignored as a label, never an index
    batch[2, 0] = 9  # an index, never a label
    assert np.isfinite(program(batch))
    batch[2, 1] = 9  # both
    with pytest.raises(InputError, match=r"holds 9 at \[2, 1\]; cross_entropy of 7 classes takes 0 to 6 or -100"):
        program(batch)
    batch[2, 1] = -11
    with pytest.raises(InputError, match=r"holds -11 at \[2, 1\]; take along axis 0"):
        program(batch)


@pytest.mark.parametrize("dtype", [name for name, dtype in DTYPES.items() if dtype.is_integer])
def test_every_integer_at_its_limits(dtype: str) -> None:
    limits = np.iinfo(dtype)
    i = gx.input("i", (2, 3), dtype)
    for extent in (4, 300):
        program = gx.compile([i], gx.take(np.zeros(extent, np.float32), i), backend="numpy")
        for value in (limits.min, limits.max, -extent, extent - 1, -extent - 1, extent, 0, 1 << 31, -(1 << 31) - 1):
            if not limits.min <= value <= limits.max:
                continue
            if -extent <= value < extent:
                program(indices(value, dtype))
            else:
                with pytest.raises(InputError, match=f"holds {value} at"):
                    program(indices(value, dtype))


@pytest.mark.parametrize(
    "view",
    [
        lambda i: i[1:, ::2], lambda i: i[::-1, 1::3].T, lambda i: i[:, 2:5].reshape(-1),
        lambda i: i.reshape(3, 4, 2)[:, 1], lambda i: i[2], lambda i: i[1, 3], lambda i: i[:0],
        lambda i: i[::3, ::-2][1:], lambda i: i[:, ::2].T.reshape(-1),
    ],
)  # fmt: skip
def test_slices_against_numpy(view: Use) -> None:
    """An element is checked if, and only if, the view of NumPy holds it."""
    i = gx.input("i", (4, 6), "int32")
    program = gx.compile([i], gx.take(np.zeros(2, np.float32), view(i)), backend="cython")
    held = set(view(np.arange(24).reshape(4, 6)).ravel().tolist()) if view(np.zeros((4, 6))).size else set()
    for place in range(24):
        batch = np.zeros(24, np.int32)
        batch[place] = 2
        if place in held:
            with pytest.raises(InputError, match=r"holds 2 at"):
                program(batch.reshape(4, 6))
        else:
            program(batch.reshape(4, 6))


def test_views_of_arrays_are_checked_where_they_are_copied() -> None:
    i = gx.input("i", (3,), "int64")
    program = gx.compile([i], gx.take(TABLE, i, 0), backend="cython")
    with pytest.raises(InputError, match=r"holds 7 at \[2\]"):
        program(np.array([0, 9, 1, 9, 7, 9])[::2])
    program(np.array([0, 9, 1, 9, 3, 9])[::2])


def test_a_state_stays_as_it_was() -> None:
    i = gx.input("i", (2, 3), "int64")
    count = gx.state("count", np.zeros((), np.float32))
    program = gx.compile([i], gx.take(TABLE, i, 0), {count: count + 1}, backend="cython")
    with pytest.raises(InputError):
        program(indices(4))
    assert (count.value, program.step) == (0, 0)


def test_known_labels_are_checked_while_building() -> None:
    logits = gx.input("logits", (2, 5))
    nn.cross_entropy(logits, [4, -100])
    with pytest.raises(ShapeError, match="cross_entropy of 5 classes takes 0 to 4, not 5") as caught:
        nn.cross_entropy(logits, [4, 5])
    assert __file__ in str(caught.value)
    with pytest.raises(ShapeError, match="one_hot of 2 classes takes 0 to 1, not 7"):
        gx.one_hot([0, 7], 2)


def test_exported_programs_check(tmp_path: Path) -> None:
    i = gx.input("i", (2, 3), "int64")
    gx.compile([i], gx.take(TABLE, i, 0), backend="c").export(tmp_path / "checked")
    gx.compile([i], gx.take(TABLE, i, 0), backend="c", check_indices=False).export(tmp_path / "unchecked")
    again = gx.load(tmp_path / "checked")
    np.testing.assert_array_equal(again(indices(3)), TABLE[indices(3)])
    with pytest.raises(InputError, match=r"holds 4 at \[1, 1\].*\n.*test_index_ranges"):
        again(indices(4))
    np.testing.assert_array_equal(gx.load(tmp_path / "unchecked")(indices(4)), TABLE[indices(3)])
    assert "i: int64[2, 3], values -4 to 3" in (tmp_path / "checked.h").read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"input": 1}, {"input": -1}, {"offset": -1}, {"offset": 1}, {"counts": (7,)}, {"counts": (6, 1)},
        {"counts": ()}, {"strides": (2,)}, {"strides": (0,)}, {"strides": (-1,)},
        {"counts": (0,)}, {"low": 1 << 63}, {"high": 1 << 70},
        {"ignored": (1 << 64,)},
    ],
)  # fmt: skip
def test_a_range_outside_its_input_is_refused(change: dict[str, Any]) -> None:
    i = gx.input("i", (2, 3), "int64")
    plan = gx.compile([i], gx.take(TABLE, i, 0), backend="cython").plan
    assert plan is not None
    assert len(plan.ranges) == 1
    with pytest.raises(InternalError, match="range 0 of indices"):
        verify(replace(plan, ranges=(replace(plan.ranges[0], **change),)))
