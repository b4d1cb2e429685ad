"""Names: paths of modules, the same in errors, programs and files; and one order of definition."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.api import build_graph
from graphc.dsl.naming import named_text
from graphc.errors import DTypeError, GraphError, InputError, ShapeError
from tests.runtime.support import BACKENDS, needs_compiler


class Encoder(nn.Module):
    """Layers in a list, a dict and a tuple, and a parameter of its own."""

    def __init__(self) -> None:
        self.layers = [nn.Linear(3, 3), nn.Linear(3, 3)]
        self.heads = {"mean": nn.Linear(3, 2), "deep": {"er": (nn.Linear(3, 2, bias=False),)}}
        self.scale = gx.parameter("s", np.float32(2.0))
        self.numbers, self.nothing = [1, 2, "three"], None

    def forward(self, x: gx.Tensor) -> gx.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.scale * (self.heads["mean"](x) + self.heads["deep"]["er"][0](x))  # type: ignore[index]


ENCODER = [
    "scale", "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "heads.mean.weight",
    "heads.mean.bias", "heads.deep.er.0.weight",
]  # fmt: skip


class GAN(nn.Module):
    def __init__(self) -> None:
        self.generator, self.discriminator = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(3, 1))


def test_modules_in_lists_tuples_and_dicts_are_parts() -> None:
    model = Encoder()
    assert list(model.state()) == ENCODER
    model.eval()
    assert not any(module.training for module in model.modules())
    assert "(heads.deep.er.0): Linear(in_features=3, out_features=2, bias=False)" in repr(model)
    model.layers.append(nn.Linear(3, 3))
    model(gx.input("x", (4, 3)))
    assert model.layers[2].bias.name == "layers.2.bias"
    assert "layers.2.bias" in model.state_dict()


@pytest.mark.parametrize("make", [set, frozenset])
def test_containers_without_order_or_names_are_refused(make: Any) -> None:
    model = nn.Module()
    model.labels = make([1, 2])
    with pytest.raises(GraphError, match="use a list, tuple or dict") as caught:
        model.layers = make([nn.Linear(2, 2)])
    assert __file__ in caught.value.location
    with pytest.raises(GraphError, match=r"set self\.layer in __init__"):
        type("Shared", (nn.Module,), {"layer": nn.Linear(2, 2)})


def test_a_list_that_holds_itself_and_names_that_meet() -> None:
    model = nn.Module()
    model.layers = [nn.Linear(2, 2)]
    model.layers.append(model.layers)
    assert list(model.state()) == ["layers.0.weight", "layers.0.bias"]
    model.layers = {1: gx.parameter("a", 1.0), "1": gx.parameter("b", 1.0)}
    with pytest.raises(GraphError, match=r"two parameters are called 'layers\.1'"):
        model.state()


def test_a_child_that_knows_its_parent() -> None:
    model, child = nn.Module(), nn.Linear(2, 2)
    model.child, child.parent = child, model
    model.own = gx.parameter("own", 1.0)
    assert [p.name for p in model.state().values()] == list(model.state()) == ["own", "child.weight", "child.bias"]
    assert repr(model).count("Linear") == 1
    assert copy.deepcopy(model).child.weight.name == "child.weight"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_and_its_module_have_one_state(backend: str) -> None:
    model, x = Encoder(), gx.input("x", (4, 3))
    program = gx.compile([x], model(x), backend=backend)
    ours, theirs = program.state_dict(), model.state_dict()
    assert list(ours) == list(theirs) == ENCODER
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value)
    model.load_state_dict({name: value + 1 for name, value in ours.items()})
    np.testing.assert_array_equal(program.state_dict()["layers.1.bias"], theirs["layers.1.bias"] + 1)
    program.load_state_dict(theirs)
    np.testing.assert_array_equal(model.state_dict()["scale"], theirs["scale"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_have_one_order_in_training_and_evaluation(backend: str) -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), gx.input("x", (8, 3))
    loss = (model(x) ** 2).mean()
    step = gx.compile([x], loss, optim.AdamW(lr=0.1).minimize(loss, model.parameters()), backend=backend)
    predict = gx.compile([x], model.eval()(x), backend=backend)
    names = list(model.state())
    assert list(step.state_dict())[: len(names)] == names
    assert [name for name in names if "num_batches" not in name] == list(predict.state_dict())
    missing, unexpected = model.load_state_dict(step.state_dict(), strict=False)
    assert not missing
    assert {"0.weight.exp_avg", "2.bias.exp_avg_sq"} < set(unexpected)


def test_names_outlive_the_model() -> None:
    def build() -> Any:
        x = gx.input("x", (4, 3))
        model = Encoder()
        return [x], model(x)

    assert list(gx.compile(*build(), backend="cython").state_dict()) == ENCODER


def test_a_layer_alone_is_called_by_its_own_attributes() -> None:
    layer = nn.Linear(2, 2)
    assert layer.weight.name == "weight"
    model = nn.Sequential(nn.ReLU(), layer)
    assert (layer.weight.name, repr(layer.bias)) == ("1.weight", "<parameter '1.bias': float32[2]>")
    del model
    assert layer.weight.name == "weight"
    old, layer.weight = layer.weight, gx.parameter("mine", np.zeros((2, 2), np.float32))
    assert (old.name, layer.weight.name) == ("Linear.weight", "weight")
    del layer.weight
    assert list(layer.state()) == ["bias"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_models_in_one_program(backend: str) -> None:
    first, second, x = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(3, 1)), gx.input("x", (4, 2))
    loss = second(first(x)).sum()
    updates = optim.SGD(momentum=0.5).minimize(loss, [*second.parameters(), *first.parameters()])
    names = list(gx.compile([x], loss, updates, backend=backend).state_dict())
    assert names[:4] == ["0.weight", "0.bias", "0.weight (2)", "0.bias (2)"]
    assert {"0.weight.momentum_buffer", "0.weight (2).momentum_buffer"} < set(names)
    both = GAN()
    program = gx.compile([x], both.discriminator(both.generator(x)), backend=backend)
    assert list(program.state_dict()) == list(both.state())
    assert next(iter(both.state())) == "generator.0.weight"


def test_a_model_built_twice_has_one_text() -> None:
    """The text is what the cache of programs goes by."""

    def text() -> str:
        model, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), gx.input("x", (8, 3))
        loss = (model(x) ** 2).mean()
        return named_text(
            build_graph([x], loss, optim.AdamW(lr=0.1).minimize(loss, model.parameters()))[0], locations=False
        )

    assert text() == text()
    assert 'name="0.weight"' in text()


def test_a_shared_module_is_called_as_in_its_models_state() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            shared = nn.Linear(3, 3)
            inner = nn.Sequential(shared, nn.ReLU())
            self.first, self.inner = shared, inner

    model = Tied()
    assert list(model.state()) == [p.name for p in model.state().values()] == ["first.weight", "first.bias"]


@needs_compiler
@pytest.mark.parametrize("name", ["(random)", "(constant 0)", "(padding at 0)", "w (2)", "*/ \n", "ü" * 300])
def test_any_name_comes_back(name: str, tmp_path: Path) -> None:
    """Names that a program gives to parts of its state, and whatever else a user may think of."""
    p, q = gx.parameter(name, [1.0, 2.0]), gx.parameter("w", 3.0)
    gx.compile([], p * q + gx.parameter("w", 1.0) + gx.normal((2,)), backend="cython").export(tmp_path / "step")
    state = gx.load(tmp_path / "step").state_dict()
    assert sorted(value.tolist() for value in state.values() if value.ndim) == [[1.0, 2.0]]
    assert len(state) == 3


# Loading -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("of", ["module", "program", "optimizer"])
def test_loading_is_all_or_nothing_and_says_all_that_is_wrong(of: str) -> None:
    model, x, optimizer = nn.Linear(2, 3), gx.input("x", (4, 2)), optim.Adam()
    loss = model(x).sum()
    program = gx.compile([x], loss, optimizer.minimize(loss, model.parameters()), backend="numpy")
    holder: Any = {"module": model, "program": program, "optimizer": optimizer}[of]
    before = holder.state_dict()
    first, *_, last = before
    other = {name: np.ones_like(value) for name, value in before.items()}
    less = {name: value for name, value in other.items() if name != last}
    for bad, error, texts in (
        (less, InputError, [f"missing: {last!r}"]),
        ({**less, "odd": 1}, InputError, [f"missing: {last!r}", "unexpected: 'odd'"]),
        ({**other, last: np.ones((9, 9)), first: np.ones((8, 8))}, ShapeError, [first, "(8, 8)", last, "(9, 9)"]),
        ({**other, last: np.full(before[last].shape, 1j)}, DTypeError, [last, "complex128"]),
        ({**less, first: np.ones((8, 8))}, InputError, [f"missing: {last!r}", "(8, 8)"]),
        ([1, 2], InputError, ["mapping"]),
    ):
        with pytest.raises(error) as caught:
            holder.load_state_dict(bad)
        assert all(text in str(caught.value) for text in texts), str(caught.value)
        for name, value in before.items():
            np.testing.assert_array_equal(holder.state_dict()[name], value)
    with pytest.raises(ShapeError):
        holder.load_state_dict({**less, first: np.ones((8, 8))}, strict=False)
    result = holder.load_state_dict({**less, "odd": 1}, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == ((last,), ("odd",))
    np.testing.assert_array_equal(holder.state_dict()[first], other[first])
    np.testing.assert_array_equal(holder.state_dict()[last], before[last])
    assert holder.load_state_dict(other) == ((), ())


def test_values_that_lie_in_the_state_are_read_before_any_is_written() -> None:
    model = nn.Module()
    model.a, model.b = gx.parameter("a", [1.0, 2.0]), gx.parameter("b", [3.0, 4.0])
    model.load_state_dict({"a": model.b.storage, "b": model.a.storage[:]})
    np.testing.assert_array_equal([model.a.value, model.b.value], [[3, 4], [1, 2]])


def test_what_is_written_to_a_value_is_never_lost_without_a_word() -> None:
    p = gx.parameter("w", [1.0, 2.0])
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        p.value[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        p.value += 1
    p.value = p.value + 1
    np.testing.assert_array_equal(p.value, [2, 3])
    state = {"w": p.value.copy()}
    state["w"] += 1


@pytest.mark.parametrize("frozen", [gx.state("s", np.float32(1)), gx.parameter("p", 1.0, trainable=False)])
def test_what_is_not_trainable_is_not_trained(frozen: gx.Parameter) -> None:
    w = gx.parameter("w", 1.0)
    for build in (
        lambda: optim.SGD().minimize((frozen * w) ** 2, [w, frozen]),
        lambda: optim.SGD().apply({frozen: gx.constant(1.0)}),
    ):
        with pytest.raises(GraphError, match="is not to be trained") as caught:
            build()
        assert __file__ in caught.value.location
    frozen.trainable = True
    assert frozen in optim.SGD().minimize((frozen * w) ** 2, [frozen])
    frozen.trainable = False
