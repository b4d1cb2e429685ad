"""Update rules: against plain NumPy in float64, and against PyTorch where it is installed, over 20 steps."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc import optim

from .support import problem, run_optimizer, run_updates

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.02, "eps": 1e-4, "weight_decay": 0.3, "amsgrad": True}),
]


def in_numpy(name, start, gradients, lr=None, **options):
    """The same optimiser, written out by its published formula on float64 arrays."""
    defaults = {"SGD": 1e-3, "RMSprop": 1e-2, "Adam": 1e-3, "AdamW": 1e-3}
    lr = defaults[name] if lr is None else lr
    result = []
    for i, value in enumerate(start):
        p, memory = value.astype(np.float64), {}
        for t, step in enumerate(gradients, start=1):
            g = step[i].astype(np.float64) * (-1 if options.get("maximize") else 1)
            p = FORMULAS[name](p, g, t, memory, lr, options)
        result.append(p)
    return result


def sgd(p, g, t, memory, lr, o):
    g = g + o.get("weight_decay", 0) * p
    if o.get("momentum"):
        memory["b"] = g if t == 1 else o["momentum"] * memory["b"] + (1 - o.get("dampening", 0)) * g
        g = g + o["momentum"] * memory["b"] if o.get("nesterov") else memory["b"]
    return p - lr * g


def rmsprop(p, g, t, memory, lr, o):
    alpha = o.get("alpha", 0.99)
    g = g + o.get("weight_decay", 0) * p
    memory["v"] = alpha * memory.get("v", 0) + (1 - alpha) * g**2
    memory["m"] = alpha * memory.get("m", 0) + (1 - alpha) * g
    spread = memory["v"] - memory["m"] ** 2 if o.get("centered") else memory["v"]
    memory["b"] = o.get("momentum", 0) * memory.get("b", 0) + g / (np.sqrt(spread) + 1e-8)
    return p - lr * memory["b"]


def adam(p, g, t, memory, lr, o, decoupled=False):
    beta1, beta2 = o.get("betas", (0.9, 0.999))
    decay = o.get("weight_decay", 0.01 if decoupled else 0)
    p, g = (p * (1 - lr * decay), g) if decoupled else (p, g + decay * p)
    memory["m"] = beta1 * memory.get("m", 0) + (1 - beta1) * g
    memory["v"] = beta2 * memory.get("v", 0) + (1 - beta2) * g**2
    memory["x"] = np.maximum(memory.get("x", 0), memory["v"])
    v = memory["x"] if o.get("amsgrad") else memory["v"]
    m_hat, root = memory["m"] / (1 - beta1**t), np.sqrt(v) / np.sqrt(1 - beta2**t)
    return p - lr * m_hat / (root + o.get("eps", 1e-8))


def adamw(p, g, t, memory, lr, o):
    return adam(p, g, t, memory, lr, o, decoupled=True)


FORMULAS = {"SGD": sgd, "RMSprop": rmsprop, "Adam": adam, "AdamW": adamw}


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-6), ("float64", 1e-13)])
def test_agrees_with_numpy(name, options, dtype, tolerance):
    start, gradients = problem(dtype=dtype)
    got = run_optimizer(getattr(optim, name)(**options), start, gradients)
    for ours, formula in zip(got, in_numpy(name, start, gradients, **options), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, formula, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_agrees_with_pytorch(name, options):
    torch = pytest.importorskip("torch")
    start, gradients = problem()
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in start]
    optimizer = getattr(torch.optim, name)(theirs, **{"lr": 1e-3, **options} if name == "SGD" else options)
    for step in gradients:
        for parameter, gradient in zip(theirs, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    for ours, other in zip(run_optimizer(getattr(optim, name)(**options), start, gradients), theirs, strict=True):
        np.testing.assert_allclose(ours, other.detach().numpy(), rtol=3e-6, atol=2e-6)


def test_a_planted_wrong_formula_is_caught():
    start, gradients = problem()
    right = run_optimizer(optim.Adam(lr=0.01), start, gradients)
    wrong = in_numpy("Adam", start, gradients, lr=0.01, betas=(0.9, 0.99))
    assert np.abs(right[0] - wrong[0]).max() > 1e-4


def test_bias_correction_is_exact_in_the_first_step():
    (p,) = run_optimizer(optim.Adam(lr=1.0, eps=0.0), [np.zeros(3, np.float32)], [[np.float32([1e-3, -7.0, 2e4])]])
    np.testing.assert_allclose(p, [-1, 1, -1], rtol=3e-7)


def test_low_precision_parameters_are_updated_in_float32():
    import ml_dtypes

    start, gradients = problem(steps=5)
    low = [value.astype(ml_dtypes.bfloat16) for value in start]
    steps = [[g.astype(ml_dtypes.bfloat16) for g in step] for step in gradients]
    optimizer = optim.Adam(lr=0.1)
    got = run_optimizer(optimizer, low, steps)
    assert {str(value.dtype) for name, value in optimizer.state_dict().items() if "exp" in name} == {"float32"}
    expected = in_numpy("Adam", low, steps, lr=0.1)
    for ours, formula in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours.astype(np.float32), formula, atol=0.05)


def test_minimize_follows_the_gradient_to_the_minimum():
    w = gx.parameter("w", np.float32([3.0, -2.0]))
    loss = ((w - np.float32([1.0, 0.5])) ** 2).sum()
    updates = optim.SGD(lr=0.1, momentum=0.5).minimize(loss, [w])
    for _ in range(60):
        run_updates(updates, {})
    np.testing.assert_allclose(w.value, [1.0, 0.5], atol=1e-5)


def test_state_goes_there_and_back():
    start, gradients = problem()
    straight = run_optimizer(optim.Adam(lr=0.1), start, gradients)

    first, second = optim.Adam(lr=0.1), optim.Adam(lr=0.1)
    middle = run_optimizer(first, start, gradients[:10])
    saved = first.state_dict()
    assert sorted(saved) == ["0.exp_avg", "0.exp_avg_sq", "1.exp_avg", "1.exp_avg_sq", "lr", "step"]
    assert saved["step"] == 10
    parameters = [gx.parameter(f"p{i}", value) for i, value in enumerate(middle)]
    inputs = [gx.input(f"g{i}", value.shape) for i, value in enumerate(middle)]
    updates = second.apply(dict(zip(parameters, inputs, strict=True)))
    second.load_state_dict(saved)
    for step in gradients[10:]:
        run_updates(updates, dict(zip(inputs, step, strict=True)))
    for parameter, expected in zip(parameters, straight, strict=True):
        np.testing.assert_array_equal(parameter.value, expected)


def test_state_is_shared_by_programs_over_the_same_parameters():
    w = gx.parameter("w", np.float32([3.0]))
    optimizer = optim.Adam()
    first = optimizer.minimize((w**2).sum(), [w])
    second = optimizer.minimize((w**4).sum(), [w])
    assert {id(key) for key in first} == {id(key) for key in second}


def test_state_that_does_not_fit_changes_nothing():
    optimizer = optim.Adam()
    with pytest.raises(gx.errors.GraphError, match="call minimize"):
        optimizer.load_state_dict({})
    w = gx.parameter("w", np.float32([3.0]))
    optimizer.minimize((w**2).sum(), [w])
    saved = optimizer.state_dict()
    with pytest.raises(gx.errors.InputError, match="missing: 'step'"):
        optimizer.load_state_dict({name: value for name, value in saved.items() if name != "step"})
    with pytest.raises(gx.errors.ShapeError, match="exp_avg_sq"):
        optimizer.load_state_dict({**saved, "step": np.int64(7), "0.exp_avg_sq": np.zeros(2, np.float32)})
    assert optimizer.state_dict()["step"] == 0


def test_bad_arguments_are_errors():
    w, k = gx.parameter("w", np.float32([3.0])), gx.state("k", np.int64(3))
    loss = (w**2).sum()
    for build in (
        lambda: optim.SGD(lr=-1.0),
        lambda: optim.SGD(lr="fast"),
        lambda: optim.SGD(nesterov=True),
        lambda: optim.Adam(betas=(0.9, 1.0)),
        lambda: optim.Adam(clip_norm=0.0).minimize(loss, [w]),
        lambda: optim.Adam().minimize(loss, []),
        lambda: optim.Adam().minimize(loss, [w, w]),
        lambda: optim.Adam().minimize(loss, [k]),
        lambda: optim.Adam().minimize(loss, [loss]),
    ):
        with pytest.raises(gx.errors.GraphError):
            build()
    with pytest.raises(gx.errors.ShapeError, match="gradient of"):
        optim.Adam().apply({w: gx.input("g", (2,))})
