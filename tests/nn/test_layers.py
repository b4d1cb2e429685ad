"""Layers: values, gradients and running statistics against PyTorch where it is installed, and formulas everywhere."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.ops.reference import evaluate

from .support import apply_marked_updates, forward, random

LAYERS = [
    ("Linear", (5, 3), {}, (4, 5)),
    ("Linear", (5, 3), {"bias": False}, (2, 4, 5)),
    ("Linear", (5, 3), {}, (5,)),
    ("Conv1d", (4, 6, 3), {}, (2, 4, 9)),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}, (2, 4, 11)),
    ("Conv2d", (3, 4, 3), {}, (2, 3, 6, 7)),
    ("Conv2d", (4, 4, (3, 2)), {"stride": (2, 1), "padding": (1, 2), "groups": 4, "bias": False}, (2, 4, 7, 5)),
    ("Conv2d", (2, 3, (4, 3)), {"padding": "same", "dilation": (1, 2)}, (1, 2, 6, 7)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, (2, 4, 4, 5)),
    ("ConvTranspose2d", (3, 2, (2, 3)), {"dilation": (2, 1)}, (1, 3, 4, 3)),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 7)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 6, 7)),
    ("MaxPool2d", ((2, 3),), {"stride": 1, "dilation": (2, 1)}, (1, 2, 6, 7)),
    ("MaxPool2d", (3,), {"stride": 2, "ceil_mode": True}, (1, 2, 6, 7)),
    ("AvgPool2d", (2,), {}, (2, 3, 6, 7)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 7, 7)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (2, 3, 7, 7)),
    ("BatchNorm1d", (4,), {}, (6, 4)),
    ("BatchNorm1d", (4,), {"momentum": None}, (3, 4, 5)),
    ("BatchNorm1d", (4,), {"affine": False, "track_running_stats": False}, (6, 4)),
    ("BatchNorm2d", (3,), {"momentum": 0.3, "eps": 1e-3}, (2, 3, 4, 5)),
    ("LayerNorm", (6,), {}, (3, 4, 6)),
    ("LayerNorm", ((4, 6),), {"eps": 1e-2, "bias": False}, (3, 4, 6)),
    ("GroupNorm", (2, 6), {}, (3, 6, 4, 5)),
    ("GroupNorm", (3, 6), {"affine": False}, (3, 6)),
    ("RMSNorm", (6,), {}, (3, 4, 6)),
    ("RMSNorm", (6,), {"eps": 0.1, "elementwise_affine": False}, (4, 6)),
    ("Flatten", (), {}, (3, 4, 5)),
    ("Flatten", (0, 1), {}, (3, 4, 5)),
    ("ReLU", (), {}, (4, 5)),
    ("LeakyReLU", (0.2,), {}, (4, 5)),
    ("ELU", (1.5,), {}, (4, 5)),
    ("GELU", (), {}, (4, 5)),
    ("GELU", (), {"approximate": "tanh"}, (4, 5)),
    ("SiLU", (), {}, (4, 5)),
    ("Tanh", (), {}, (4, 5)),
    ("Sigmoid", (), {}, (4, 5)),
    ("Softplus", (2.0,), {}, (4, 5)),
    ("Softmax", (1,), {}, (4, 5, 2)),
    ("LogSoftmax", (-1,), {}, (4, 5)),
]  # fmt: skip


def twins(name, args, options):
    """The layer and its PyTorch twin, with the same random values."""
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert list(ours.state()) == list(theirs.state_dict())
    for i, parameter in enumerate(ours.parameters()):
        parameter.value = random(i, *parameter.shape)
    theirs.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    return torch, ours, theirs


def ids(case):
    return f"{case[0]}{case[1]}{case[2] or ''}".replace(" ", "")


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("case", LAYERS, ids=ids)
def test_agrees_with_pytorch(case, mode):
    name, args, options, shape = case
    torch, ours, theirs = twins(name, args, options)
    getattr(ours, mode)(), getattr(theirs, mode)()
    for turn in range(2):
        array = random(10 + turn, *shape)
        x = gx.input("x", shape)
        y = ours(x)
        weight = random(20, *y.shape)
        wrt = [x, *ours.parameters()]
        results = evaluate([y, *gx.grad((y * weight).sum(), wrt)], {x: array})
        apply_marked_updates(y, {x: array})

        other = torch.tensor(array, requires_grad=True)
        theirs.zero_grad()
        output = theirs(other)
        (output * torch.tensor(weight)).sum().backward()
        expected = [output, other.grad, *(parameter.grad for parameter in theirs.parameters())]
        assert len(expected) == len(results)
        for got, want in zip(results, expected, strict=True):
            np.testing.assert_allclose(got, want.detach().numpy(), rtol=2e-5, atol=2e-5)
        for key, value in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-6, atol=1e-6, err_msg=key)


def test_linear():
    layer, x = nn.Linear(5, 3), random(0, 4, 5)
    np.testing.assert_allclose(forward(layer, x), x @ layer.weight.value.T + layer.bias.value, rtol=1e-5, atol=1e-6)


def test_embedding():
    layer, indices = nn.Embedding(7, 3), np.int32([[0, 6, 2], [2, 2, -1]])
    np.testing.assert_array_equal(forward(layer, indices), layer.weight.value[indices])
    with pytest.raises(gx.errors.DTypeError, match="integer indices"):
        layer(gx.input("x", (3,)))


def test_embedding_gradient_adds_up_repeated_rows():
    layer, weight = nn.Embedding(4, 2), random(0, 3, 2)
    indices = gx.input("i", (3,), "int64")
    (gradient,) = evaluate(gx.grad((layer(indices) * weight).sum(), layer.parameters()), {indices: np.int64([2, 0, 2])})
    np.testing.assert_allclose(gradient, np.stack([weight[1], 0 * weight[0], weight[0] + weight[2], 0 * weight[0]]))


@pytest.mark.parametrize("shape", [(64, 5), (16, 5, 4)])
def test_batch_norm_standardises_and_tracks(shape):
    layer, x = nn.BatchNorm1d(5), 3 + 2 * random(0, *shape)
    tensor = gx.input("x", shape)
    y = layer(tensor)
    axes = (0,) if len(shape) == 2 else (0, 2)
    (value,) = evaluate([y], {tensor: x})
    np.testing.assert_allclose(value.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(value.std(axes), 1, atol=1e-4)
    apply_marked_updates(y, {tensor: x})
    np.testing.assert_allclose(layer.running_mean.value, 0.1 * x.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.value, 0.9 + 0.1 * x.var(axes, ddof=1), rtol=1e-5)
    assert layer.num_batches_tracked.value == 1


def test_batch_norm_needs_more_than_one_value():
    with pytest.raises(gx.errors.ShapeError, match="more than one value"):
        nn.BatchNorm1d(5)(gx.input("x", (1, 5)))
    with pytest.raises(gx.errors.ShapeError, match=r"\(N, C, H, W\)"):
        nn.BatchNorm2d(5)(gx.input("x", (4, 5)))


def test_dropout_keeps_the_mean_and_scales():
    x = np.ones((200, 100), np.float32)
    y = forward(nn.Dropout(0.3), x)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert y.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(forward(nn.Dropout(0.3).eval(), x), x)
    np.testing.assert_array_equal(forward(nn.Dropout(1.0), x), 0 * x)
    np.testing.assert_array_equal(forward(nn.Dropout(0.0), x), x)


def test_dropout_changes_with_seed_step_and_place_and_repeats_otherwise():
    x = gx.input("x", (1000,))
    layer = nn.Dropout(0.5)
    both = [layer(x), layer(x)]

    def run(seed, step):
        return evaluate(both, {x: np.ones(1000, np.float32)}, seed=seed, step=step)

    base = run(1, 1)
    assert not np.array_equal(*base)
    np.testing.assert_array_equal(base[0], run(1, 1)[0])
    assert not np.array_equal(base[0], run(2, 1)[0])
    assert not np.array_equal(base[0], run(1, 2)[0])


def test_dropout_passes_the_gradient_where_it_passes_the_value():
    x = gx.input("x", (100,))
    y = nn.Dropout(0.4)(x)
    value, gradient = evaluate([y, gx.grad(y.sum(), x)], {x: np.ones(100, np.float32)})
    np.testing.assert_array_equal(value, gradient)


def test_normalisation_of_16_bit_inputs_takes_statistics_in_float32():
    x = (300 + random(0, 8, 64)).astype(np.float16)
    layer = nn.LayerNorm(64)
    y = forward(layer, x)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, expected, atol=4e-3)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Conv2d(3, 4, (3, 3, 3)),
        lambda: nn.Conv2d(3, 4, 3, stride=0),
        lambda: nn.Conv2d(3, 4, 3, padding=-1),
        lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"),
        lambda: nn.GroupNorm(4, 6),
        lambda: nn.LayerNorm(()),
        lambda: nn.Dropout(1.5),
        lambda: nn.Dropout(float("nan")),
        lambda: nn.BatchNorm2d(4, eps=0.0)(gx.input("x", (2, 4, 3, 3))),
        lambda: nn.MaxPool2d(0),
    ],
)
def test_bad_settings_are_errors(build):
    with pytest.raises(gx.errors.GraphError):
        build()
