"""A multilayer perceptron that reads handwritten digits.

Run it with `python -m graphc.examples.digits_mlp`.
"""

from __future__ import annotations

import numpy as np

from graphc import nn, optim
from graphc.examples.digits import CLASSES, History, classifier, load_digits, train, training_step

BATCH, EPOCHS, SHIFT = 64, 30, 0


def build(seed: int = 0) -> nn.Module:
    """64 pixels → 128 → 64 → 10 classes."""
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128, rng=rng),
        nn.ReLU(),
        nn.Linear(128, 64, rng=rng),
        nn.ReLU(),
        nn.Linear(64, CLASSES, rng=rng),
    )


def optimizer(steps: int) -> optim.Optimizer:
    """AdamW whose learning rate falls along half a cosine over `steps` steps."""
    return optim.AdamW(lr=optim.schedules.cosine(3e-3, steps), weight_decay=1e-2)


def main(epochs: int = EPOCHS) -> History:
    digits, model = load_digits(), build()
    steps = epochs * (len(digits.train_images) // BATCH)
    step = training_step(model, optimizer(steps), BATCH)
    history = train(step, classifier(model, len(digits.test_images)), digits, epochs, BATCH, SHIFT)
    print(model)
    print(f"loss {history.losses[0]:.4f} → {history.losses[-1]:.4f} in {steps} steps and {history.seconds:.1f} s")
    print(f"test accuracy {history.accuracies[-1]:.2%}")
    return history


if __name__ == "__main__":
    main()
