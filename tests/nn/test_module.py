"""Modules: names, order, modes, states, files, texts and their errors."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import graphc as gx
from graphc import nn

from .support import forward, random


def small(rng: int | None = 0) -> nn.Sequential:
    rng = np.random.default_rng(rng)
    block = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, rng=rng), nn.BatchNorm2d(2))
    return nn.Sequential(nn.Residual(block), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3, rng=rng))


def test_names_and_order_are_those_of_pytorch():
    model = small()
    assert list(model.state()) == [
        "0.inner.0.weight",
        "0.inner.0.bias",
        "0.inner.1.weight",
        "0.inner.1.bias",
        "0.inner.1.running_mean",
        "0.inner.1.running_var",
        "0.inner.1.num_batches_tracked",
        "3.weight",
        "3.bias",
    ]
    buffers = [name for name in model.state() if "running" in name or "num" in name]
    assert list(model.named_buffers()) == buffers
    assert list(model.named_parameters()) == [name for name in model.state() if name not in buffers]
    assert [p.shape for p in model.parameters()] == [(2, 1, 3, 3), (2,), (2,), (2,), (3, 32), (3,)]


def test_shared_modules_count_once():
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, nn.Tanh(), shared)
    assert list(model.state()) == ["0.weight", "0.bias"]
    assert len(model) == 3
    tied = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3, bias=False))
    tied[1].weight = tied[0].weight
    assert len(tied.parameters()) == 2


def test_frozen_parameters_are_not_trained():
    model = small()
    model[3].weight.trainable = False
    assert "3.weight" not in model.named_parameters()
    assert "3.weight" in model.state_dict()


def test_train_and_eval_choose_the_graph_that_is_built():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.BatchNorm1d(4)))
    x = gx.input("x", (8, 4))
    trained = model(x)
    assert model.eval() is model
    assert not model[1][0].training
    evaluated = model(x)
    assert trained is not evaluated
    assert evaluated.op != "with_update"
    assert model.train()(x).op == "with_update"


def test_repr_is_pytorchs():
    assert repr(small()) == (
        "Sequential(\n"
        "  (0): Residual(\n"
        "    (inner): Sequential(\n"
        "      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n"
        "      (1): BatchNorm2d(2, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "    )\n"
        "  )\n"
        "  (1): ReLU()\n"
        "  (2): Flatten(start_dim=1, end_dim=-1)\n"
        "  (3): Linear(in_features=32, out_features=3, bias=True)\n"
        ")"
    )


def test_state_goes_through_a_file_bit_for_bit(tmp_path):
    first, second = small(0), small(1)
    first[0].inner[1].running_mean.value = np.float32([-0.0, np.nan])
    first.save(tmp_path / "model.safetensors")
    second.load(tmp_path / "model.safetensors")
    for name, value in first.state_dict().items():
        assert value.tobytes() == second.state_dict()[name].tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_files_keep_every_dtype(tmp_path):
    model = nn.Module()
    model.low = gx.parameter("low", random(0, 3).astype(ml_dtypes.bfloat16))
    model.half = gx.parameter("half", random(1, 2, 2).astype(np.float16))
    model.flag = gx.state("flag", np.array(True))
    model.empty = gx.state("empty", np.zeros((0, 3), np.int8))
    before = model.state_dict()
    model.save(tmp_path / "model")
    model.low.value = np.zeros(3, ml_dtypes.bfloat16)
    model.load(tmp_path / "model")
    for name, value in before.items():
        assert model.state_dict()[name].dtype == value.dtype
        np.testing.assert_array_equal(model.state_dict()[name], value)


def test_states_that_do_not_fit_are_refused_and_change_nothing():
    model = small()
    before = model.state_dict()
    good = {name: np.ones_like(value) for name, value in before.items()}
    for bad, error, text in (
        ({name: value for name, value in good.items() if name != "3.bias"}, gx.errors.InputError, "missing: '3.bias'"),
        ({**good, "4.weight": np.zeros(3)}, gx.errors.InputError, "unexpected: '4.weight'"),
        ({**good, "3.bias": np.zeros(4, np.float32)}, gx.errors.ShapeError, "fit Sequential.*'3.bias'"),
        ({**good, "3.bias": np.zeros(3, complex)}, gx.errors.DTypeError, "fit Sequential.*'3.bias'"),
    ):
        with pytest.raises(error, match=text):
            model.load_state_dict(bad)
        for name, value in before.items():
            np.testing.assert_array_equal(model.state_dict()[name], value)


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 40, b'\x08\0\0\0\0\0\0\0{"a":{}}'])
def test_files_that_are_no_models_are_refused(tmp_path, content):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(gx.errors.FormatError, match="not a safetensors file"):
        small().load(tmp_path / "model")
    with pytest.raises(FileNotFoundError):
        small().load(tmp_path / "none")


def test_a_cut_file_is_refused(tmp_path):
    data = safetensors.numpy.save(small().state_dict())
    (tmp_path / "model").write_bytes(data[:-7])
    with pytest.raises(gx.errors.FormatError):
        small().load(tmp_path / "model")


def test_a_module_of_ones_own():
    class Doubled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            self.inner = inner
            self.scale = gx.parameter("scale", np.float32(2))

        def forward(self, x: gx.Tensor) -> gx.Tensor:
            return self.scale * self.inner(x)

    model = Doubled(nn.ReLU())
    assert list(model.state()) == ["scale"]
    np.testing.assert_array_equal(forward(model, np.float32([-1, 3])), np.float32([0, 6]))


def test_module_lists():
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    layers.append(nn.Linear(2, 5))
    assert len(layers) == 4
    assert list(layers.state())[-2:] == ["3.weight", "3.bias"]
    assert [layer.out_features for layer in layers] == [2, 2, 2, 5]
    with pytest.raises(gx.errors.GraphError, match="holds modules"):
        nn.Sequential(nn.ReLU(), np.tanh)


def test_wrong_inputs_name_the_module_and_the_users_line():
    x = gx.input("x", (64, 12))
    with pytest.raises(gx.errors.ShapeError, match=r"Linear\(in_features=10.*got float32\[64, 12\]") as caught:
        nn.Linear(10, 3)(x)
    assert "test_module.py" in caught.value.location.split("\n")[0]
    with pytest.raises(gx.errors.DTypeError, match="astype"):
        nn.Linear(12, 3)(gx.input("k", (64, 12), "uint8"))
    with pytest.raises(gx.errors.GraphError, match="takes a tensor"):
        nn.Linear(12, 3)(np.zeros((64, 12), np.float32))
    with pytest.raises(gx.errors.ShapeError, match=r"\(N, 3, H, W\)"):
        nn.Conv2d(3, 4, 3)(x)
    with pytest.raises(gx.errors.ShapeError, match="shortcut"):
        nn.Residual(nn.Linear(12, 3))(x)
