"""The large models: the published numbers of parameters, shapes, and a step on a small size against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gx
from benchmarks.models import mobilenet, residual, resnet, vgg
from benchmarks.models.training import ZEROS, Step, training_step
from graphc import nn

BUILDS = {"resnet": resnet.build, "mobilenet": mobilenet.build, "vgg": vgg.build}
PUBLISHED = {"resnet": 25_557_032, "mobilenet": 3_504_872, "vgg": 138_357_544}


def trained(step: Step) -> list[Any]:
    return [target for target in step[2] if target.trainable]


@pytest.mark.parametrize("name", BUILDS)
def test_parameters_are_as_many_as_published(name: str) -> None:
    step = BUILDS[name](2)
    assert sum(weight.size for weight in trained(step)) == PUBLISHED[name]
    assert [tensor.shape for tensor in step[0]] == [(2, 3, 224, 224), (2,)]
    assert step[1]["loss"].shape == ()
    assert not any(weight.value.any() for weight in trained(step) if weight.ndim > 1)


@pytest.mark.parametrize("name", BUILDS)
def test_default_batches_are_those_of_the_table(name: str) -> None:
    batch = {"resnet": 184, "mobilenet": 272, "vgg": 176}[name]
    assert BUILDS[name].__defaults__ == (batch,)


def test_random_weights_where_they_are_asked_for() -> None:
    step = mobilenet.build(2, side=32, classes=5, rng=0)
    again = mobilenet.build(2, side=32, classes=5, rng=0)
    for first, second in zip(trained(step), trained(again), strict=True):
        np.testing.assert_array_equal(first.value, second.value)
        assert first.ndim < 2 or first.value.std() > 0


def test_zeros_are_no_arrays_of_their_own() -> None:
    assert nn.init.kaiming_uniform((1 << 20, 1 << 20), ZEROS).strides == (0, 0)
    assert nn.init.normal((1 << 20, 1 << 20), ZEROS).strides == (0, 0)


def test_a_model_with_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number for each of 7 classes"):
        training_step(resnet.ResNet((1,), 4, 5, rng=ZEROS), 2, 32, 7)


def test_residual_layers() -> None:
    step = residual.build(3, 8, 4, rng=1)
    x, y = (np.random.default_rng(i).standard_normal((4, 8)).astype(np.float32) for i in range(2))
    weights = [weight.value for weight in trained(step)]
    assert [weight.shape for weight in weights] == [(8, 8), (8,)] * 3
    expected = x
    for weight, bias in zip(weights[::2], weights[1::2], strict=True):
        expected = expected + np.maximum(expected @ weight.T + bias, 0)
    loss = gx.compile(*step, backend="cython", threads=1)(x, y)["loss"]
    np.testing.assert_allclose(loss, np.mean((expected - y) ** 2), rtol=1e-5)


# Against PyTorch -------------------------------------------------------------------------------------------------
class Twin:
    """The layers of a model in PyTorch, by the names of the state; batch normalisation as in training."""

    def __init__(self, state: dict[str, Any]) -> None:
        import torch

        self.functional = torch.nn.functional
        self.state = {name: torch.tensor(value) for name, value in state.items()}
        self.weights = {name: part for name, part in self.state.items() if part.is_floating_point()}
        for name, part in self.weights.items():
            part.requires_grad_("running" not in name)

    def convolved(self, x: Any, name: str, stride: int = 1, padding: int = 0, groups: int = 1) -> Any:
        bias = self.state.get(f"{name}.bias")
        return self.functional.conv2d(x, self.state[f"{name}.weight"], bias, stride, padding, 1, groups)

    def normalised(self, x: Any, name: str) -> Any:
        mean, variance, weight, bias = (
            self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return self.functional.batch_norm(x, mean, variance, weight, bias, training=True)

    def linear(self, x: Any, name: str) -> Any:
        return self.functional.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])


def resnet_twin(twin: Twin, x: Any) -> Any:
    """A ResNet of one block in each of two stages."""
    relu = twin.functional.relu
    x = relu(twin.normalised(twin.convolved(x, "conv1", 2, 3), "bn1"))
    x = twin.functional.max_pool2d(x, 3, 2, 1)
    for stage in (1, 2):
        at = f"layer{stage}.0."
        y = relu(twin.normalised(twin.convolved(x, at + "conv1"), at + "bn1"))
        y = relu(twin.normalised(twin.convolved(y, at + "conv2", stage, 1), at + "bn2"))
        y = twin.normalised(twin.convolved(y, at + "conv3"), at + "bn3")
        x = relu(y + twin.normalised(twin.convolved(x, at + "downsample.0", stage), at + "downsample.1"))
    return twin.linear(x.mean((2, 3)), "fc")


STAGES = ((1, 16, 1, 1), (6, 16, 1, 1), (6, 24, 1, 2))


def mobilenet_twin(twin: Twin, x: Any) -> Any:
    """A MobileNet of the stages in STAGES."""

    def activated(x: Any, name: str, *options: int) -> Any:
        return twin.functional.relu6(twin.normalised(twin.convolved(x, f"{name}.0", *options), f"{name}.1"))

    x = activated(x, "features.0", 2, 1)
    for number, (expansion, _, _, stride) in enumerate(STAGES, 1):
        y, at, part = x, f"features.{number}.conv", 0
        if expansion != 1:
            y, part = activated(y, f"{at}.0"), 1
        y = activated(y, f"{at}.{part}", stride, 1, y.shape[1])
        y = twin.normalised(twin.convolved(y, f"{at}.{part + 1}"), f"{at}.{part + 2}")
        x = x + y if x.shape == y.shape else y
    return twin.linear(activated(x, "features.4").mean((2, 3)), "classifier.1")


def vgg_twin(twin: Twin, x: Any) -> Any:
    """A VGG of stages of two and of one convolution, without dropout."""
    relu = twin.functional.relu
    for names in (("features.0", "features.2"), ("features.5",)):
        for name in names:
            x = relu(twin.convolved(x, name, 1, 1))
        x = twin.functional.max_pool2d(x, 2)
    x = x.flatten(1)
    for name in ("classifier.0", "classifier.3"):
        x = relu(twin.linear(x, name))
    return twin.linear(x, "classifier.6")


SMALL = {
    "resnet": (lambda: resnet.ResNet((1, 1), 4, 5, rng=1), resnet_twin),
    "mobilenet": (lambda: mobilenet.MobileNetV2(STAGES, 5, 0.0, rng=1), mobilenet_twin),
    "vgg": (lambda: vgg.VGG(((4, 6), (8,)), 12, 5, 0.0, side=16, rng=1), vgg_twin),
}


def compared(name: str, spoilt: str = "") -> float:
    """The largest difference after a step, of losses, weights and statistics; the twin starts with `spoilt` doubled."""
    torch = pytest.importorskip("torch")
    make, forward = SMALL[name]
    model, rng = make(), np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3, 16, 16)).astype(np.float32), np.array([0, 1, 2, 4], np.int32)
    twin = Twin(model.state_dict())
    if spoilt:
        twin.state[spoilt].data *= 2
    program = gx.compile(*training_step(model, 4, 16, 5), backend="cython", threads=1)
    ours = program(x, y)["loss"]
    theirs = torch.nn.functional.cross_entropy(forward(twin, torch.tensor(x)), torch.tensor(y).long())
    theirs.backward()
    for part in twin.weights.values():
        if part.grad is not None:
            part.data -= 0.1 * part.grad
    state = model.state_dict()
    gaps = [np.abs(state[key] - part.detach().numpy()).max() for key, part in twin.weights.items()]
    return float(max(abs(ours - theirs.item()), *gaps))


@pytest.mark.parametrize("name", SMALL)
def test_a_step_is_that_of_pytorch(name: str) -> None:
    assert compared(name) < 2e-5


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [("resnet", "layer2.0.downsample.1.weight"), ("mobilenet", "features.2.conv.1.0.weight"),
     ("vgg", "features.5.bias")],
)  # fmt: skip
def test_the_comparison_notices_a_difference(name: str, spoilt: str) -> None:
    assert compared(name, spoilt) > 1e-3
