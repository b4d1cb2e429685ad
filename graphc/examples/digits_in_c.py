"""The digits network trained from C: the exported training step, and a C program around it.

Run it with `python -m graphc.examples.digits_in_c [DIR]`: it exports the step to DIR, writes the data to a file,
compiles `train_digits.c`, trains with it, and trains again from Python. The losses agree to the last bit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import graphc as gx
from graphc import nn
from graphc.examples.digits import Digits, load_digits, training_step
from graphc.examples.digits_mlp import BATCH, build, optimizer

SOURCE = Path(__file__).with_name("train_digits.c")


def export(folder: Path, model: nn.Module, steps: int) -> None:
    """Export the training step of `model` as folder/step.*."""
    training_step(model, optimizer(steps), BATCH).export(folder / "step")


def write_data(path: Path, digits: Digits) -> int:
    """Write all whole batches: their number, then each one's images and labels. Answers with the number."""
    count = len(digits.train_images) // BATCH
    with path.open("wb") as file:
        file.write(np.int64(count).tobytes())
        for i in range(count):
            rows = slice(i * BATCH, (i + 1) * BATCH)
            file.write(digits.train_images[rows].tobytes() + digits.train_labels[rows].tobytes())
    return count


def build_trainer(folder: Path, compiler: str = "cc") -> Path:
    """Compile `train_digits.c` against the exported library."""
    program = folder / "train_digits"
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", f"-I{folder}", str(SOURCE), str(folder / "step.so")]
    subprocess.run([*command, f"-Wl,-rpath,{folder.resolve()}", "-o", str(program)], check=True)
    return program


def train_in_c(program: Path, folder: Path, epochs: int, threads: int = 2) -> list[float]:
    """Run the trainer; the loss of each step. It leaves the trained state in folder/step.safetensors."""
    command = [str(program.resolve()), "step.safetensors", "digits.bin", str(epochs), str(threads)]
    result = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return [float.fromhex(line) for line in result.stdout.split()]


def train_in_python(folder: Path, digits: Digits, epochs: int) -> list[float]:
    """The same steps from Python, by the same library, from its state as exported."""
    step = gx.load(folder / "step")
    losses = []
    for _ in range(epochs):
        for i in range(len(digits.train_images) // BATCH):
            rows = slice(i * BATCH, (i + 1) * BATCH)
            losses.append(float(step(digits.train_images[rows], digits.train_labels[rows])))
    return losses


def main(folder: Path, epochs: int = 10) -> None:
    digits = load_digits()
    count = write_data(folder / "digits.bin", digits)
    export(folder, build(), epochs * count)
    python = train_in_python(folder, digits, epochs)
    native = train_in_c(build_trainer(folder), folder, epochs)
    for name, losses in (("C", native), ("Python", python)):
        print(f"{name + ':':<8} loss {losses[0]:.4f} → {losses[-1]:.4f} in {len(losses)} steps")
    print("equal to the last bit" if python == native else "NOT equal")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
