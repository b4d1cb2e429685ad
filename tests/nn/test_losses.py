"""Losses: against formulas in NumPy, against PyTorch where it is installed, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import graphc as gx
from graphc import nn
from graphc.ir.graph import topological
from graphc.ops.reference import evaluate

from .support import random

RNG = np.random.default_rng(0)
X, Y = random(1, 6, 4), random(2, 6, 4)
P, T = special.expit(X), RNG.integers(0, 2, (6, 4)).astype(np.float32)
LABELS = np.int64([0, 3, -100, 1, 2, 2])
WEIGHT = np.float32([0.5, 2.0, 1.0, 3.0])
SOFT = special.softmax(Y, axis=1)
IMAGE, CLASSES = random(3, 2, 4, 3, 5), RNG.integers(0, 4, (2, 3, 5))

# name here, name in PyTorch, prediction, target, options
CASES = [
    ("mse_loss", "mse_loss", X, Y, {}),
    ("l1_loss", "l1_loss", X, Y, {}),
    ("huber_loss", "huber_loss", X, Y, {"delta": 0.7}),
    ("smooth_l1_loss", "smooth_l1_loss", X, Y, {"beta": 0.7}),
    ("smooth_l1_loss", "smooth_l1_loss", X, Y, {"beta": 0.0}),
    ("bce_loss", "binary_cross_entropy", P, T, {}),
    ("bce_loss", "binary_cross_entropy", P, special.expit(Y), {}),
    ("bce_with_logits_loss", "binary_cross_entropy_with_logits", X, T, {}),
    ("bce_with_logits_loss", "binary_cross_entropy_with_logits", X, T, {"pos_weight": WEIGHT}),
    ("cross_entropy", "cross_entropy", X, LABELS, {}),
    ("cross_entropy", "cross_entropy", X, LABELS, {"weight": WEIGHT}),
    ("cross_entropy", "cross_entropy", X, LABELS, {"label_smoothing": 0.2, "ignore_index": 2}),
    ("cross_entropy", "cross_entropy", X, LABELS, {"label_smoothing": 0.2, "weight": WEIGHT}),
    ("cross_entropy", "cross_entropy", X, SOFT, {}),
    ("cross_entropy", "cross_entropy", X, SOFT, {"label_smoothing": 0.3, "weight": WEIGHT}),
    ("cross_entropy", "cross_entropy", X[0], np.int64(3), {}),
    ("cross_entropy", "cross_entropy", IMAGE, CLASSES, {"ignore_index": 1}),
    ("nll_loss", "nll_loss", X, LABELS, {}),
    ("nll_loss", "nll_loss", X, LABELS, {"weight": WEIGHT, "ignore_index": 3}),
    ("nll_loss", "nll_loss", IMAGE, CLASSES, {}),
]


def valid(case):
    """PyTorch refuses -100 when another index is ignored; such rows are moved to class 0."""
    ours, theirs, x, target, options = case
    if options.get("ignore_index", -100) != -100:
        target = np.maximum(target, 0)
    return ours, theirs, x, target, options


def loss_and_gradient(name, x, target, reduction, options):
    """The loss, and the gradient by the prediction of the loss times fixed random weights."""
    prediction = gx.input("prediction", x.shape, x.dtype)
    wanted = gx.input("target", target.shape, target.dtype)
    loss = getattr(nn, name)(prediction, wanted, reduction=reduction, **options)
    scale = random(9, *loss.shape)
    return evaluate([loss, gx.grad((loss * scale).sum(), prediction)], {prediction: x, wanted: target}), scale


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_agrees_with_pytorch(case, reduction):
    torch = pytest.importorskip("torch")
    name, peer, x, target, options = valid(case)
    (loss, gradient), scale = loss_and_gradient(name, x, target, reduction, options)
    prediction = torch.tensor(x, requires_grad=True)
    theirs = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    expected = getattr(torch.nn.functional, peer)(prediction, torch.tensor(target), reduction=reduction, **theirs)
    (expected * torch.tensor(scale)).sum().backward()
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=3e-6, atol=2e-6)
    np.testing.assert_allclose(gradient, prediction.grad.numpy(), rtol=1e-5, atol=2e-6)


def rows(x, labels):
    return -special.log_softmax(x.astype(np.float64), axis=1)[np.arange(len(x)), labels]


@pytest.mark.parametrize(
    ("name", "x", "target", "options", "expected"),
    [
        ("mse_loss", X, Y, {}, ((X - Y) ** 2).mean()),
        ("l1_loss", X, Y, {}, np.abs(X - Y).mean()),
        ("huber_loss", X, Y, {"delta": 0.7}, special.huber(0.7, X - Y).mean()),
        ("smooth_l1_loss", X, Y, {"beta": 0.7}, special.huber(0.7, X - Y).mean() / 0.7),
        ("bce_loss", P, T, {}, -(T * np.log(P) + (1 - T) * np.log1p(-P)).mean()),
        ("bce_with_logits_loss", X, T, {}, -(T * np.log(P) + (1 - T) * np.log1p(-P)).mean()),
        ("cross_entropy", X, np.abs(LABELS) % 4, {}, rows(X, np.abs(LABELS) % 4).mean()),
        ("cross_entropy", X, LABELS, {}, rows(X, LABELS % 4)[LABELS >= 0].mean()),
        ("cross_entropy", X, SOFT, {}, -(SOFT * special.log_softmax(X, axis=1)).sum(1).mean()),
        ("nll_loss", X, LABELS, {"reduction": "sum"}, -X[np.arange(6), LABELS % 4][LABELS >= 0].sum()),
    ],
)
def test_formula(name, x, target, options, expected):
    (loss, _), _ = loss_and_gradient(name, x, target, options.pop("reduction", "mean"), options)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, expected, rtol=3e-6)


def test_gradient_of_cross_entropy_is_softmax_minus_one_hot():
    prediction, labels = gx.input("x", X.shape), np.int32([0, 3, 1, 1, 2, 2])
    loss = nn.cross_entropy(prediction, labels, reduction="sum")
    (gradient,) = evaluate([gx.grad(loss, prediction)], {prediction: X})
    np.testing.assert_allclose(gradient, special.softmax(X, axis=1) - np.eye(4)[labels], atol=1e-6)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_large_logits_stay_exact(scale):
    x = np.float32([[scale, scale + 1], [scale - 2, scale]])
    (loss, gradient), _ = loss_and_gradient("cross_entropy", x, np.int32([0, 1]), "none", {})
    np.testing.assert_allclose(loss, rows(x, [0, 1]), rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_binary_losses_at_the_edges():
    x, t = np.float32([-200, 200, -200, 200, 0]), np.float32([0, 1, 1, 0, 1])
    (loss, gradient), scale = loss_and_gradient("bce_with_logits_loss", x, t, "none", {})
    np.testing.assert_allclose(loss, [0, 0, 200, 200, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(gradient / scale, [0, 0, -1, 1, -0.5], rtol=1e-6)
    (loss, gradient), _ = loss_and_gradient("bce_loss", np.float32([0, 1, 0, 1]), np.float32([0, 1, 1, 0]), "none", {})
    np.testing.assert_array_equal(loss, np.float32([0, 0, 100, 100]))
    assert np.isfinite(gradient).all()
    (loss, _), _ = loss_and_gradient("bce_loss", np.float32([np.nan, -0.5]), np.float32([0, 1]), "none", {})
    assert np.isnan(loss).all()


def test_bce_of_a_sigmoid_is_built_from_the_logit_and_divides_nothing():
    x, t = gx.input("x", (5,)), gx.input("t", (5,))
    loss = nn.bce_loss(gx.sigmoid(x), t, reduction="sum")
    gradient = gx.grad(loss, x)
    assert "divide" not in {node.op for node in topological([loss, gradient])}
    values = {x: np.float32([-300, -1, 0, 1, 300]), t: np.float32([1, 0, 1, 0, 0])}
    got = evaluate([loss, gradient], values)
    np.testing.assert_allclose(got[1], special.expit(values[x]) - values[t], atol=1e-7)
    assert np.isfinite(got[0])


def test_16_bit_predictions_give_a_float32_loss():
    x = gx.input("x", (3, 4), "bfloat16")
    assert nn.cross_entropy(x, np.int32([0, 1, 2])).dtype.name == "float32"
    assert nn.mse_loss(x, 0.0).dtype.name == "float32"


def test_targets_may_be_small_integers_and_numbers():
    (loss, _), _ = loss_and_gradient("cross_entropy", X, np.uint8([0, 3, 1, 1, 2, 2]), "mean", {})
    np.testing.assert_allclose(loss, rows(X, [0, 3, 1, 1, 2, 2]).mean(), rtol=1e-6)
    x = gx.input("x", (3,))
    assert evaluate([nn.mse_loss(x, 1)], {x: np.float32([0, 1, 3])})[0] == np.float32(5 / 3)


def test_all_rows_ignored_is_nan_as_in_pytorch():
    (loss, _), _ = loss_and_gradient("cross_entropy", X, np.full(6, -100), "mean", {})
    assert np.isnan(loss)


def test_bad_calls_are_errors():
    x, flat = gx.input("x", (6, 4)), gx.input("y", (6,))
    integer, label = gx.input("i", (6, 4), "int32"), gx.input("l", (6,), "int64")
    for error, text, build in (
        (gx.errors.ShapeError, "shape", lambda: nn.mse_loss(gx.input("p", (6, 1)), flat)),
        (gx.errors.DTypeError, "float predictions", lambda: nn.l1_loss(integer, integer)),
        (gx.errors.GraphError, "reduction", lambda: nn.mse_loss(x, x, reduction="average")),
        (gx.errors.GraphError, "delta", lambda: nn.huber_loss(x, x, delta=0)),
        (gx.errors.GraphError, "beta", lambda: nn.smooth_l1_loss(x, x, beta=-1)),
        (gx.errors.ShapeError, "class indices", lambda: nn.cross_entropy(x, integer)),
        (gx.errors.DTypeError, "class indices", lambda: nn.nll_loss(x, x)),
        (gx.errors.ShapeError, "4 class weights", lambda: nn.cross_entropy(x, label, weight=np.ones(3, np.float32))),
        (gx.errors.GraphError, "label_smoothing", lambda: nn.cross_entropy(x, label, label_smoothing=2)),
        (gx.errors.DTypeError, "rows of classes", lambda: nn.cross_entropy(gx.input("s", ()), label)),
    ):
        with pytest.raises(error, match=text):
            build()
