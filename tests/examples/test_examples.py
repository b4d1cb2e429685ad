"""The examples compute what they say, on every backend, and stay short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphc.examples
from graphc.examples import char_model, digits_cnn, digits_in_c, digits_mlp, torch_twin, worked_example, xor
from graphc.examples.digits import batches, classifier, load_digits, train, training_step
from tests.runtime.support import needs_compiler

BACKENDS = ("numpy", "cython")

WORKED = {
    "hidden": [0.593270, 0.596884],
    "output": 0.732218,
    "loss": 0.260800,
    "output error": 0.141609,
    "dW2": [0.084012, 0.084524],
    "db2": 0.141609,
    "hidden errors": [0.013668, 0.015333],
    "dW1": [[0.000683, 0.001367], [0.000767, 0.001533]],
    "db1": [0.013668, 0.015333],
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_worked_example(backend):
    values = worked_example.compute(backend)
    assert list(values) == list(WORKED)
    for name, value in WORKED.items():
        np.testing.assert_allclose(values[name], value, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_xor_is_learned(backend):
    probabilities, loss = xor.train(backend=backend)
    np.testing.assert_array_equal(probabilities > 0.5, xor.TARGETS[:, 0] > 0.5)
    assert loss < 0.05


def test_digits_are_split_and_scaled():
    pytest.importorskip("sklearn")
    digits = load_digits()
    assert digits.train_images.shape == (1437, 1, 8, 8)
    assert digits.test_images.shape == (360, 1, 8, 8)
    assert digits.train_images.dtype == np.float32
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 1)
    assert np.bincount(digits.test_labels).min() > 20
    images, labels = next(batches(digits, 32, np.random.default_rng(0), shift=1))
    assert (images.shape, labels.shape) == ((32, 1, 8, 8), (32,))
    assert len(list(batches(digits, 64, np.random.default_rng(0)))) == 22


@needs_compiler
def test_digits_are_trained_from_c(tmp_path):
    pytest.importorskip("sklearn")
    digits, epochs = load_digits(), 3
    count = digits_in_c.write_data(tmp_path / "digits.bin", digits)
    digits_in_c.export(tmp_path, digits_mlp.build(), epochs * count)
    python = digits_in_c.train_in_python(tmp_path, digits, epochs)
    trainer = digits_in_c.build_trainer(tmp_path)
    assert digits_in_c.train_in_c(trainer, tmp_path, epochs) == python
    assert python[-1] < 0.3 * python[0]
    assert digits_in_c.train_in_c(trainer, tmp_path, 1, threads=1)[0] < 0.5 * python[0]  # the state was written back


@pytest.mark.parametrize(("example", "accuracy"), [(digits_mlp, 0.9), (digits_cnn, 0.93)])
def test_digits_are_learned(example, accuracy):
    pytest.importorskip("sklearn")
    digits, model = load_digits(), example.build()
    step = training_step(model, example.optimizer(5 * 22), example.BATCH)
    reports = []
    history = train(
        step,
        classifier(model, 360),
        digits,
        5,
        example.BATCH,
        example.SHIFT,
        report=lambda h: reports.append(len(h.losses)),
    )
    assert len(history.losses) == 5 * 22
    assert reports[-1] == 110
    assert history.losses[-1] < history.losses[0]
    assert history.accuracies[-1] > accuracy


def test_the_backends_train_alike():
    pytest.importorskip("sklearn")
    digits, losses = load_digits(), {}
    for backend in BACKENDS:
        model = digits_mlp.build()
        step = training_step(model, digits_mlp.optimizer(10), 64, backend=backend)
        losses[backend] = [float(step(*batch)) for batch in batches(digits, 64, np.random.default_rng(0))]
    np.testing.assert_allclose(losses["cython"], losses["numpy"], rtol=1e-4)


def test_character_model_learns_and_writes():
    text = char_model.load_text()
    assert len(text.codes) > 400_000
    assert text.codes.max() == len(text.alphabet) - 1
    model = char_model.build(len(text.alphabet))
    losses = char_model.train(model, text, steps=60)
    assert np.mean(losses[-10:]) < 0.85 * losses[0]
    written = char_model.sample(model, text, length=20)
    assert len(written) == 20
    assert written == char_model.sample(model, text, length=20)
    assert set(written) <= set(text.alphabet)


def test_the_pytorch_twin_starts_at_the_same_loss():
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    images, labels = next(batches(load_digits(), 64, np.random.default_rng(0)))
    model = digits_mlp.build()
    theirs = torch_twin.training_step(model, torch.get_num_threads())
    ours = training_step(model, digits_mlp.optimizer(10), 64)
    assert float(ours(images, labels)) == pytest.approx(theirs(images, labels), rel=1e-5)


def test_examples_are_short():
    for path in Path(graphc.examples.__file__).parent.glob("*.py"):
        assert len(path.read_text().splitlines()) < 100, path.name
