"""Copies and pickles of everything that a user holds: one table that says what each does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.api import build_graph
from graphc.errors import GraphError
from tests.runtime.support import BACKENDS


def program() -> gx.Program:
    return gx.compile([], gx.parameter("w", [1.0]) * 2, backend="numpy")


def graph() -> Any:
    w = gx.parameter("w", [1.0])
    return build_graph([], w * 2, {w: w + 1})[0]


SAME, NEW, REFUSED = "the same object", "a new object", "a GraphError that says what to do"
# what is copied, then what copy.copy, copy.deepcopy and pickle.dumps do, and what the refusal advises
TABLE: list[tuple[Callable[[], Any], str, str, str, str]] = [
    (lambda: gx.input("x", (2,)) + 1, SAME, SAME, REFUSED, "gx.load"),
    (lambda: gx.parameter("w", [1.0]), NEW, NEW, REFUSED, "model.save"),
    (lambda: gx.state("s", [1.0]), NEW, NEW, REFUSED, "model.save"),
    (lambda: nn.Linear(2, 2), NEW, NEW, REFUSED, "model.save"),
    (lambda: nn.Sequential(nn.Linear(2, 2)), NEW, NEW, REFUSED, "model.load"),
    (graph, SAME, SAME, REFUSED, "gx.load"),
    (program, REFUSED, REFUSED, REFUSED, "gx.load"),
    (optim.Adam, REFUSED, REFUSED, REFUSED, "load_state_dict"),
]
CASES = [
    (make, action, row[position], row[3])
    for make, *row in TABLE
    for position, action in enumerate((copy.copy, copy.deepcopy, pickle.dumps))
]


@pytest.mark.parametrize(("make", "action", "expected", "advice"), CASES)
def test_copies_and_pickles(make: Any, action: Any, expected: str, advice: str) -> None:
    original = make()
    if expected == REFUSED:
        with pytest.raises(GraphError, match=advice) as caught:
            action(original)
        assert __file__ in caught.value.location
        return
    made = action(original)
    assert (made is original) == (expected == SAME)
    assert type(made) is type(original)


def test_a_copied_parameter_is_one_of_its_own() -> None:
    p = gx.parameter("w", np.float32([1, 2]), trainable=False)
    for q in (copy.copy(p), copy.deepcopy(p), copy.deepcopy({"list": [p]})["list"][0]):
        assert (q.name, q.trainable, q.type) == ("w", False, p.type)
        assert q.storage.ctypes.data % 64 == 0
        q.value = np.float32([5, 6])
        np.testing.assert_array_equal(p.value, [1, 2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deep_copy_of_a_module_trains_on_its_own(backend: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    twin = copy.deepcopy(model)
    before, x = model.state_dict(), gx.input("x", (8, 3))
    loss = (twin(x) ** 2 + twin(x)).sum()
    step = gx.compile([x], loss, optim.SGD(lr=0.1).minimize(loss, twin.parameters()), backend=backend)
    step(np.arange(24, dtype=np.float32).reshape(8, 3))
    for name, value in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], value)
    assert not np.array_equal(twin.state_dict()["0.weight"], before["0.weight"])
    assert not np.array_equal(twin.state_dict()["1.running_mean"], before["1.running_mean"])


def test_a_deep_copy_keeps_what_is_shared_within_and_the_kind_of_everything_else() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.25))
    model[1].eval()
    model.again, model.tied, model.numbers = model[0], [model[0].weight, {"b": model[0].bias}], [1, 2]
    twin = copy.deepcopy(model)
    assert twin.again is twin[0] is not model[0]
    assert twin.tied[0] is twin[0].weight is not model[0].weight
    assert twin.tied[1]["b"] is twin[0].bias
    assert twin.numbers == [1, 2]
    assert twin.numbers is not model.numbers
    assert (twin[1].training, twin[0].training, repr(twin)) == (False, True, repr(model))
    assert list(twin.state()) == list(model.state())


def test_a_shallow_copy_shares_and_takes_no_names_away() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    shallow = copy.copy(model)
    assert shallow[0] is model[0]
    shallow.training = False
    assert model.training
    del shallow
    assert model[0].weight.name == "0.weight"


def test_a_module_may_say_how_it_is_copied() -> None:
    class Fixed(nn.Module):
        def __deepcopy__(self, memo: Any) -> Fixed:
            return self

    model = nn.Sequential(Fixed(), nn.Linear(2, 2))
    twin = copy.deepcopy(model)
    assert twin[0] is model[0]
    assert twin[1] is not model[1]
