"""XOR: the smallest problem that needs a hidden layer.

Run it with `python -m graphc.examples.xor`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc as gx
from graphc import nn, optim

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
TARGETS = np.array([[0], [1], [1], [0]], np.float32)


def train(steps: int = 300, seed: int = 0, backend: str = "auto") -> tuple[np.ndarray[Any, Any], float]:
    """The probability of 1 for each row of INPUTS, and the loss, after `steps` steps."""
    rng = np.random.default_rng(seed)
    x, y = gx.input("x", (4, 2)), gx.input("y", (4, 1))
    model = nn.Sequential(nn.Linear(2, 8, rng=rng), nn.Tanh(), nn.Linear(8, 1, rng=rng))
    logits = model(x)
    loss = nn.bce_with_logits_loss(logits, y)
    updates = optim.Adam(lr=0.05).minimize(loss, model.parameters())
    step = gx.compile(
        inputs=[x, y], outputs={"loss": loss, "probability": gx.sigmoid(logits)}, updates=updates, backend=backend
    )
    for _ in range(steps):
        results = step(INPUTS, TARGETS)
    return results["probability"][:, 0], float(results["loss"])


def main() -> None:
    probabilities, loss = train()
    for row, target, probability in zip(INPUTS, TARGETS[:, 0], probabilities, strict=True):
        verdict = "right" if (probability > 0.5) == (target > 0.5) else "wrong"
        print(f"{row[0]:.0f} xor {row[1]:.0f} = {target:.0f}   predicted {probability:.4f}   {verdict}")
    print(f"loss {loss:.6f}")


if __name__ == "__main__":
    main()
