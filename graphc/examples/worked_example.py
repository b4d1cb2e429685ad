"""A network of two layers and one training pair, with every number on the way: values, errors, gradients.

Run it with `python -m graphc.examples.worked_example`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc as gx


def build() -> tuple[gx.Tensor, dict[str, Any]]:
    """The input of the network, and by name everything that can be asked about it."""
    x = gx.input("x", (2,))
    w1 = gx.parameter("W1", [[0.15, 0.20], [0.25, 0.30]])
    b1 = gx.parameter("b1", [0.35, 0.35])
    w2 = gx.parameter("W2", [0.40, 0.45])
    b2 = gx.parameter("b2", 0.50)

    hidden_in = w1 @ x + b1
    hidden = gx.sigmoid(hidden_in)
    output_in = w2 @ hidden + b2
    output = gx.sigmoid(output_in)
    loss = 0.5 * (0.01 - output) ** 2

    hidden_error, output_error, dw1, db1, dw2, db2 = gx.grad(loss, [hidden_in, output_in, w1, b1, w2, b2])
    return x, {
        "hidden": hidden,
        "output": output,
        "loss": loss,
        "output error": output_error,
        "dW2": dw2,
        "db2": db2,
        "hidden errors": hidden_error,
        "dW1": dw1,
        "db1": db1,
    }


def compute(backend: str = "auto") -> dict[str, np.ndarray[Any, Any]]:
    """Every number of the example for the input (0.05, 0.10)."""
    x, results = build()
    program = gx.compile(inputs=[x], outputs=results, backend=backend)
    values: dict[str, np.ndarray[Any, Any]] = program(np.array([0.05, 0.10], np.float32))
    return values


def main() -> None:
    for name, value in compute().items():
        print(f"{name:>14} = {np.array2string(value, precision=6, floatmode='fixed', prefix=' ' * 17)}")


if __name__ == "__main__":
    main()
