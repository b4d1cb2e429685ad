"""What a workload can be run by. Each engine answers with a step: a call trains once and gives the loss.

An engine is a function of (workload, threads); the optional peers are imported when they are chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import graphc as gx
from benchmarks.workloads import LEARNING_RATE, Workload
from graphc import nn, optim

__all__ = ["ENGINES", "PACKAGES", "Step", "missing"]

Step = Callable[[], float]


def graphc_step(workload: Workload, threads: int) -> Step:
    """The step compiled by graphc."""
    model, (inputs, targets) = workload.model(), workload.batch()
    x = gx.input("x", inputs.shape, inputs.dtype)
    y = gx.input("y", targets.shape, targets.dtype)
    loss = nn.cross_entropy(model(x), y) if workload.classes else nn.mse_loss(model(x), y)
    updates = optim.AdamW(lr=LEARNING_RATE).minimize(loss, model.parameters())
    step = gx.compile([x, y], loss, updates, threads=threads)
    return lambda: float(step(inputs, targets))


def torch_step(workload: Workload, threads: int) -> Step:
    """The same step by PyTorch, eager, with its fused AdamW."""
    import torch

    from benchmarks import torch_twins

    torch.set_num_threads(threads)
    model = torch_twins.build(workload.name, workload.model().state_dict())
    inputs, targets = (torch.from_numpy(array) for array in workload.batch())
    if workload.classes:
        targets = targets.long()
    criterion = torch.nn.functional.cross_entropy if workload.classes else torch.nn.functional.mse_loss
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)

    def step() -> float:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


PACKAGES = {"torch": "torch"}  # what an engine needs besides graphc
ENGINES: dict[str, Callable[[Workload, int], Step]] = {"graphc": graphc_step, "torch": torch_step}


def missing(engine: str) -> str:
    """Why an engine cannot run here, or nothing."""
    package = PACKAGES.get(engine)
    return f"{package} is not installed" if package and find_spec(package) is None else ""
