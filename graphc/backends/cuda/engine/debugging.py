"""A step launch by launch, for those who look for a mistake: what fails, or makes a nan of numbers, is named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

import numpy as np

from graphc.backends.cuda.engine.device import Device, LoadedKernels
from graphc.backends.cuda.engine.nodes import Placed
from graphc.backends.cuda.engine.residence import Residence
from graphc.errors import BackendError
from graphc.ir.types import DTYPES
from graphc.plan.plan import BufferNumber, LaunchNumber, Plan

__all__ = ["run_by_launches"]


def run_by_launches(
    device: Device, functions: LoadedKernels, plan: Plan, nodes: Sequence[Placed], updated: Sequence[Residence]
) -> None:
    """Run the nodes one after the other. Raises BackendError for the first launch that fails or makes a nan of numbers.

    The `updated` parameters are as before then.
    """
    device.wait()
    saved = [residence.on_device() for residence in updated]
    try:
        for number, group in groupby(nodes, key=lambda placed: placed[0].launch):
            _run(device, functions, plan, number, list(group))
    except BackendError:
        for residence, array in zip(updated, saved, strict=True):
            device.send(residence.memory.address, array)
        device.wait()
        raise


def _run(device: Device, functions: LoadedKernels, plan: Plan, number: LaunchNumber, nodes: Sequence[Placed]) -> None:
    launch = plan.launches[number]
    where = f"launch {number}, {launch.label}" + f"\n  at {launch.location}" * bool(launch.location)
    clean = not any(_nans(device, plan, nodes, launch.reads).values())
    try:
        for _, work, pointers in nodes:
            device.run(functions, work, pointers)
        device.wait()
    except BackendError as error:
        raise BackendError(f"{error}, in {where}") from error
    made = _nans(device, plan, nodes, {*launch.writes} - {*launch.shares})
    if clean and any(made.values()):
        listed = ", ".join(f"{count} in {plan.buffers[buffer].name}" for buffer, count in made.items() if count)
        raise BackendError(f"nan where there was none, {listed}: made by {where}")


def _nans(
    device: Device, plan: Plan, nodes: Sequence[Placed], buffers: Collection[BufferNumber]
) -> dict[BufferNumber, int]:
    """How many elements of these operands of nodes are nan, by buffer."""
    found: dict[BufferNumber, int] = {}
    for operand, pointer in (pair for node, _, pointers in nodes for pair in zip(node.operands, pointers, strict=True)):
        dtype = DTYPES[plan.buffers[operand.buffer].dtype]
        if operand.buffer in buffers and dtype.is_float:
            array = np.empty(pointer.nbytes // dtype.itemsize, dtype.numpy)
            device.receive(array, pointer)
            device.wait()
            found[operand.buffer] = int(np.isnan(array).sum())
    return found
