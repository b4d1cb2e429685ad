"""The state of an exported program: one order, told by the header, and a file that is read straight into memory."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import graphc as gx
from graphc import nn, optim
from tests.runtime.support import needs_compiler

pytestmark = needs_compiler
CC = shutil.which("cc")
PARTS = ("HEADER", "STATE")

# Reads a whole file, trains, gives the weights to the other program, and predicts.
MAIN = """
#include <stdio.h>
#include <string.h>
#include "step.h"
#include "predict.h"

static _Alignas(64) char trained[STEP_HEADER_BYTES + STEP_STATE_BYTES];
static _Alignas(64) char fixed[PREDICT_HEADER_BYTES + PREDICT_STATE_BYTES];
static _Alignas(64) char memory[STEP_MEMORY_BYTES(1)], other[PREDICT_MEMORY_BYTES(1)];

int main(void) {
    FILE *const one = fopen("step.safetensors", "r+b"), *const two = fopen("predict.safetensors", "rb");
    if (fread(trained, 1, sizeof trained, one) != sizeof trained || fgetc(one) != EOF)
        return 1;
    if (fread(fixed, 1, sizeof fixed, two) != sizeof fixed || fgetc(two) != EOF)
        return 2;
    char *const state = trained + STEP_HEADER_BYTES, *const weights = fixed + PREDICT_HEADER_BYTES;
    step_program *const step = step_open(memory, state, 1);
    predict_program *const predict = predict_open(other, weights, 1);
    float x[8][3], y[8][1], loss;
    for (int i = 0; i < 24; i++)
        x[i / 3][i % 3] = (float)i / 8;
    for (int i = 0; i < 3; i++)
        step_run(step, x[0], &loss);
COPY
    predict_run(predict, x[0], y[0]);
    for (int i = 0; i < 8; i++)
        printf("%a\\n", (double)y[i][0]);
    rewind(one);
    return fwrite(trained, 1, sizeof trained, one) != sizeof trained || fclose(one);
}
"""


def export(folder: Path) -> tuple[gx.Program, gx.Program]:
    """A model with parameters of odd sizes: as a training step, and for prediction."""
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 32), nn.Linear(32, 1))
    x = gx.input("x", (8, 3))
    loss = (model(x) ** 2).mean()
    step = gx.compile([x], loss, optim.AdamW(model.parameters(), lr=0.1).minimize(loss), backend="c", threads=1)
    predict = gx.compile([x], model.eval()(x), backend="c", threads=1)
    step.export(folder / "step")
    predict.export(folder / "predict")
    return step, predict


def offsets(folder: Path, name: str) -> dict[str, int]:
    """Where the parts of a state start, by name, as the header says."""
    text = (folder / f"{name}.h").read_text()
    found = re.findall(rf"#define {name.upper()}_STATE_\d+ (\d+) /\* (.*?): ", text)
    return {key: int(offset) for offset, key in found}


@pytest.mark.skipif(CC is None, reason="needs cc")
def test_a_c_program_reads_files_whole_and_gives_trained_weights_to_the_other(tmp_path: Path) -> None:
    step, predict = export(tmp_path)
    ours, theirs = offsets(tmp_path, "step"), offsets(tmp_path, "predict")
    weights = [key for key in theirs if not key.startswith("(")]
    assert weights == [key for key in ours if key in theirs and not key.startswith("(")]
    assert list(ours)[: len(weights) + 1] == [*weights[:6], "1.num_batches_tracked", *weights[6:]]
    assert not any(offset % 64 for offset in (*ours.values(), *theirs.values()))
    sizes = {key: value.nbytes for key, value in predict.state_dict().items()}
    copies = [f"    memcpy(weights + {theirs[key]}, state + {ours[key]}, {sizes[key]});" for key in weights]
    (tmp_path / "main.c").write_text(MAIN.replace("COPY", "\n".join(copies)))
    command = [str(CC), "-std=c11", "-O1", "-march=native", "main.c", "step.c", "predict.c", "-o", "run", "-lm"]
    subprocess.run([*command, "-pthread"], cwd=tmp_path, check=True)
    printed = subprocess.run(["./run"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    x = np.arange(24, dtype=np.float32).reshape(8, 3) / np.float32(8)
    for _ in range(3):
        step(x)
    np.testing.assert_allclose([float.fromhex(text) for text in printed], predict(x)[:, 0], rtol=1e-5, atol=1e-6)
    written = safetensors.numpy.load_file(tmp_path / "step.safetensors")
    for key, value in step.state_dict().items():
        np.testing.assert_allclose(written[key], value, rtol=1e-5, atol=1e-6)


def test_the_file_is_its_header_and_the_state(tmp_path: Path) -> None:
    export(tmp_path)
    for name in ("step", "predict"):
        text, content = (tmp_path / f"{name}.h").read_text(), (tmp_path / f"{name}.safetensors").read_bytes()
        header, state = (int(re.findall(rf"#define {name.upper()}_{part}_BYTES (\d+)", text)[0]) for part in PARTS)
        assert (header + state, header % 64) == (len(content), 0)
        tensors = {key for key in safetensors.numpy.load(content) if not key.startswith("(padding")}
        assert tensors == set(offsets(tmp_path, name))
        assert set(gx.load(tmp_path / name).state_dict()) == {key for key in tensors if key[0] != "("}
