"""What the digits examples share: scikit-learn's 1,797 images of 8×8 pixels, a training loop, an evaluation.

Both the step and the evaluation are compiled once, for one batch size; the loop around them is plain Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphc as gx
from graphc import nn, optim

Array = np.ndarray[Any, Any]
CLASSES = 10


@dataclass(frozen=True)
class Digits:
    """Images as float32 (N, 1, 8, 8) in [0, 1] and labels as int32 (N,), split into training and test sets."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


@dataclass
class History:
    """What a run has measured so far: a loss for each step, a test accuracy for each epoch, seconds in training."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def load_digits(test_size: int = 360, seed: int = 0) -> Digits:
    """The data set, shuffled by `seed` and split. Raises SystemExit with advice where scikit-learn is missing."""
    try:
        from sklearn.datasets import load_digits as load
    except ImportError:
        raise SystemExit("the digits come with scikit-learn: pip install 'graphc[demo]'") from None
    images, labels = load(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images = (images[order] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    labels = labels[order].astype(np.int32)
    return Digits(images[test_size:], labels[test_size:], images[:test_size], labels[:test_size])


def training_step(model: nn.Module, optimizer: optim.Optimizer, batch: int, seed: int = 0, **options: Any) -> Any:
    """The compiled step `(images, labels) → loss`, which also updates the model."""
    images, labels = gx.input("images", (batch, 1, 8, 8)), gx.input("labels", (batch,), "int32")
    loss = nn.cross_entropy(model.train()(images), labels)
    updates = optimizer.minimize(loss, model.parameters())
    return gx.compile(inputs=[images, labels], outputs=loss, updates=updates, seed=seed, **options)


def classifier(model: nn.Module, count: int, **options: Any) -> Any:
    """The compiled evaluation `images → classes` of `count` images."""
    images = gx.input("images", (count, 1, 8, 8))
    return gx.compile(inputs=[images], outputs=model.eval()(images).argmax(axis=1), **options)


def batches(digits: Digits, size: int, rng: np.random.Generator, shift: int = 0) -> Iterator[tuple[Array, Array]]:
    """One epoch in random order, each batch moved by up to `shift` pixels; the incomplete last batch is left out."""
    order = rng.permutation(len(digits.train_images))
    padded = np.pad(digits.train_images, ((0, 0), (0, 0), (shift, shift), (shift, shift)))
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        down, right = rng.integers(0, 2 * shift + 1, 2)
        yield padded[chosen, :, down : down + 8, right : right + 8], digits.train_labels[chosen]


def train(
    step: Any,
    classify: Any,
    digits: Digits,
    epochs: int,
    batch: int,
    shift: int = 0,
    seed: int = 0,
    report: Callable[[History], None] = lambda history: None,
) -> History:
    """Run `epochs` epochs; `report` is called after each step, with the accuracy of each epoch once it is known."""
    rng, history = np.random.default_rng(seed), History()
    for _ in range(epochs):
        for images, labels in batches(digits, batch, rng, shift):
            begin = time.perf_counter()
            history.losses.append(float(step(images, labels)))
            history.seconds += time.perf_counter() - begin
            report(history)
        history.accuracies.append(float(np.mean(classify(digits.test_images) == digits.test_labels)))
    report(history)
    return history
