"""CUDA programs in files, on a simulated device: they go on where they were; what is not right is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import graphc as gx
from graphc import nn, optim
from graphc.aot import cuda_form
from graphc.aot.cuda_records import code_of
from graphc.aot.exporting import FORMS
from graphc.backends.cuda.compiler import compiling, images
from graphc.backends.cuda.compiler.compiling import lack_of_compiler
from graphc.backends.cuda.engine import choosing
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.simulator.driver import SimulatedDriver, image_of
from graphc.cli import main
from graphc.errors import BackendError, FormatError
from graphc.ops.functions.loops import loop
from graphc.plan.format import plan_of
from tests.conftest import ROOT
from tests.mutations import mutants

SUFFIXES = {"py", "cubins", "safetensors", "json"}
X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA", "simulate")


def arguments() -> dict[str, Any]:
    """Dropout, momentum, a constant, a loop, labels."""
    nn.seed(0)
    x, labels = gx.input("x", (4, 8)), gx.input("labels", (4,), "int32")
    model = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Dropout(0.25), nn.Linear(12, 5))
    table = gx.constant(np.linspace(0.5, 1.5, 8, dtype=np.float32))
    loss = nn.cross_entropy(model(x * table), labels)
    updates = optim.SGD(lr=0.1, momentum=0.9).minimize(loss, model.parameters())
    return {"inputs": [x, labels], "outputs": {"loss": loss}, "updates": updates, "seed": 7}


def run(program: gx.Program, steps: int) -> list[float]:
    labels = np.arange(4, dtype=np.int32)
    return [float(program(X, labels)["loss"]) for _ in range(steps)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], dict[str, Any]]:
    """A program after two steps, the losses of the next two, and its parameters then."""
    folder = tmp_path_factory.mktemp("exported") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHC_CUDA", "simulate")
        program = gx.compile(**arguments(), backend="cuda")
        run(program, 2)
        program.export(folder / "step")
        return folder, run(program, 2), program.state_dict()


def changed(folder: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a bundle, with its manifest changed."""
    shutil.copytree(folder, target)
    manifest = json.loads((target / "step.json").read_text())
    change(manifest)
    (target / "step.json").write_text(json.dumps(manifest))
    return target


def signed(folder: Path, suffix: str, data: bytes) -> None:
    """A file replaced, and the manifest has its hash."""
    (folder / f"step.{suffix}").write_bytes(data)
    manifest = json.loads((folder / "step.json").read_text())
    manifest["files"][suffix] = hashlib.sha256(data).hexdigest()
    (folder / "step.json").write_text(json.dumps(manifest))


def resigned(folder: Path) -> None:
    """The digest of the program is that of the manifest and the source, whatever these say."""
    manifest = json.loads((folder / "step.json").read_text())
    plan = plan_of(manifest["plan"])
    facts = {name: manifest[name] for name in FORMS["cuda"]().facts}
    digest = cuda_form._digest("step", plan, facts, (folder / "step.py").read_bytes())
    cubins = safetensors.numpy.load_file(folder / "step.cubins")
    cubins[cuda_form.PROGRAM] = np.frombuffer(digest, np.uint8)
    signed(folder, "cubins", safetensors.numpy.save(cubins))


# What is loaded -----------------------------------------------------------------------------------------------------
def test_a_loaded_program_goes_on_as_the_exported_one(exported: Any) -> None:
    folder, losses, state = exported
    assert {path.suffix[1:] for path in folder.iterdir()} == SUFFIXES
    loaded = gx.load(folder)
    assert (loaded.seed, loaded.step, loaded.backend, loaded.threads) == (7, 2, "cuda", 0)
    assert run(loaded, 2) == losses
    assert loaded.step == 4
    for name, value in loaded.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    assert set(loaded.state_dict()) == set(state)


def test_its_parameters_are_its_own(exported: Any) -> None:
    folder, losses, state = exported
    loaded, other = gx.load(folder / "step"), gx.load(folder / "step.json", threads=2)
    run(loaded, 1)
    loaded.load_state_dict(other.state_dict())
    loaded.step = 2
    assert run(loaded, 2) == losses == run(other, 2)
    other.load_state_dict({name: np.zeros_like(value) for name, value in state.items()})
    np.testing.assert_allclose(run(other, 1), np.log(5), rtol=1e-6)


def test_a_loaded_program_is_written_by_copying(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="copy them"):
        gx.load(exported[0]).export(tmp_path / "again")


def test_the_source_is_for_reading(exported: Any) -> None:
    text = gx.load(exported[0]).source
    compile(text, "step.py", "exec")
    assert text.startswith("# The kernels of step")
    assert "def matmul_" in text


def test_loops_and_several_kernels_of_a_launch(tmp_path: Path) -> None:
    x = gx.input("x", (6, 5))
    (last,), _ = loop(lambda c, s: ([gx.sum(c[0] @ c[0].T, axis=1, keepdims=True) * 0.1 + s[0]], []), 6, [x], [x])
    made = gx.compile([x], [last, gx.sort(x, 1)], backend="cuda")
    made.export(tmp_path / "step")
    rows = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    for one, other in zip(gx.load(tmp_path)(rows), made(rows), strict=True):
        np.testing.assert_array_equal(one, other)


LOADING = """
import sys
import graphc as gx
from graphc import nn
import numpy as np
program = gx.load(sys.argv[1])
program(np.zeros((4, 8), np.float32), np.zeros(4, np.int32))
assert not {name.partition(".")[0] for name in sys.modules} & {"numba", "numba_cuda", "llvmlite", "cuda"}
"""


def test_loading_needs_no_compiler(exported: Any) -> None:
    environment = {**os.environ, "PYTHONPATH": ROOT, "PATH": ""}
    subprocess.run([sys.executable, "-c", LOADING, str(exported[0])], env=environment, check=True)


# What is refused ----------------------------------------------------------------------------------------------------
def test_whatever_is_damaged_in_a_manifest_is_refused(exported: Any, tmp_path: Path) -> None:
    """But for what is there for people to read."""
    folder = exported[0]
    damaged = changed(folder, tmp_path / "damaged", lambda manifest: None)
    manifest, whole = (json.loads((damaged / "step.json").read_text()) for _ in range(2))
    harmless, tries = 0, 0
    for what in mutants(manifest):
        tries += 1
        (damaged / "step.json").write_text(json.dumps(manifest))
        try:
            gx.load(damaged)
            harmless += 1
        except FormatError:
            continue
        assert manifest == whole or re.match(r"\.(graphc|architectures|plan)\b", what), what
    assert manifest == whole
    assert tries > 1000
    assert harmless < tries / 5


LIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "blocks": (lambda m: first(m).update(blocks=0), "blocks are 1 to"),
    "threads": (lambda m: first(m).update(threads=2048), "threads are 1 to 1024"),
    "types": (lambda m: first(m).update(types=["f80"] * len(first(m)["types"])), "types that there are not"),
    "operands": (lambda m: first(m).update(types=first(m)["types"][1:], narrow=""), "does not take 2 operands and"),
    "places": (lambda m: first(m).update(places=[[0, 0]]), "operands, and places for"),
    "numbers": (lambda m: first(m).update(numbers=[7]), "does not take 3 operands and"),
    "no numbers": (lambda m: first(m).update(numbers=[1 << 32]), "not of 32 bits"),
    "place": (lambda m: first(m).update(places=[[99, 0]] * len(first(m)["types"])), "operand 99 is none"),
    "far": (lambda m: first(m).update(places=[[0, 1 << 40]] * len(first(m)["types"])), "not start within its buffer"),
    "pairs": (lambda m: first(m).update(places=[[0]]), "no pairs of numbers"),
    "narrow": (lambda m: first(m).update(narrow="other"), "no other in its place"),
    "no kernels": (lambda m: m["launches"].update({key: [] for key in m["launches"]}), "has no kernels"),
    "no launch": (lambda m: m["launches"].clear(), "has no kernels"),
    "no kernel": (lambda m: m["kernels"].clear(), "has no kernels, or one that is not there"),
    "record": (lambda m: m["kernels"].update(dict.fromkeys(m["kernels"], 3)), "must be of type dict"),
}  # fmt: skip


def first(manifest: Any) -> Any:
    """The record of a kernel that the first launch of the plan runs."""
    return manifest["kernels"][manifest["launches"][manifest["plan"]["launches"][0]["kernel"]][0]]


@pytest.mark.parametrize("lie", LIES)
def test_numbers_are_checked_whoever_has_signed_them(exported: Any, tmp_path: Path, lie: str) -> None:
    tell, message = LIES[lie]
    folder = changed(exported[0], tmp_path / "lie", tell)
    with pytest.raises(FormatError, match="another program"):
        gx.load(folder)
    resigned(folder)
    with pytest.raises(FormatError, match=message):
        gx.load(folder)


@pytest.mark.parametrize("suffix", ["py", "cubins", "safetensors"])
def test_files_must_be_those_of_the_manifest(exported: Any, tmp_path: Path, suffix: str) -> None:
    folder = changed(exported[0], tmp_path / "other", lambda manifest: None)
    path = folder / f"step.{suffix}"
    data = path.read_bytes()
    for other in (data[:-1], data + b" ", b"", bytes([data[0] ^ 1]) + data[1:]):
        path.write_bytes(other)
        with pytest.raises(FormatError, match="is not the file that"):
            gx.load(folder)
    path.unlink()
    with pytest.raises(FormatError, match="is missing"):
        gx.load(folder)


def without_kernels(folder: Path) -> None:
    signed(folder, "py", b"# nothing\n")
    resigned(folder)


def no_text(folder: Path) -> None:
    signed(folder, "py", b"\xff\xfe")
    resigned(folder)


def with_images(folder: Path, named: dict[str, Any]) -> None:
    cubins = safetensors.numpy.load_file(folder / "step.cubins")
    signed(folder, "cubins", safetensors.numpy.save({**cubins, **named}))


BYTES = np.zeros(4, np.uint8)
HEADER = np.frombuffer(b"\x7fELF\x02\x01" + bytes(20), np.uint8)
FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no kernel": (without_kernels, "has no kernel"),
    "no text": (no_text, "is no text"),
    "no container": (lambda folder: signed(folder, "cubins", b"no tensors"), "is not a safetensors file"),
    "no digest": (lambda folder: signed(folder, "cubins", safetensors.numpy.save({})), "another program"),
    "no architecture": (lambda folder: with_images(folder, {"fused sm_": BYTES}), "for no architecture"),
    "numbers": (lambda folder: with_images(folder, {"fused sm_90": BYTES.view(np.float32)}), "no row of bytes"),
    "part of a cubin": (lambda folder: with_images(folder, {"fused sm_90": HEADER}), "is not whole"),
    "some of the cubins": (lambda folder: with_images(folder, {"fused sm_90": BYTES}), "has no .* sm_90"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FILES)
def test_signed_files_are_checked_too(exported: Any, tmp_path: Path, fault: str) -> None:
    change, message = FILES[fault]
    folder = changed(exported[0], tmp_path / "other", lambda manifest: None)
    change(folder)
    with pytest.raises(FormatError, match=message):
        gx.load(folder)


def test_an_instruction_set_is_a_processors(exported: Any, tmp_path: Path) -> None:
    x = gx.input("x", (3,))
    with pytest.raises(BackendError, match="isa='avx2' is a processor's"):
        gx.compile([x], x + 1, backend="cuda").export(tmp_path / "step", isa="avx2")
    with pytest.raises(BackendError, match="'a-b' is no C identifier"):
        gx.compile([x], x + 1, backend="cuda").export(tmp_path / "a-b")


# Devices ------------------------------------------------------------------------------------------------------------
HELD = {name: {"f": name.encode()} for name in ("sm_80", "sm_86", "sm_90", "sm_100", "compute_80")}


@pytest.mark.parametrize(
    ("capability", "image"),
    [
        ((8, 0), b"sm_80"), ((8, 7), b"sm_86"), ((9, 0), b"sm_90"), ((10, 3), b"sm_100"), ((12, 0), b"compute_80\0"),
    ],
)  # fmt: skip
def test_a_device_gets_the_nearest_image(capability: tuple[int, int], image: bytes) -> None:
    assert images.fitting(HELD, capability) == {"f": image}


def test_an_older_device_gets_none() -> None:
    with pytest.raises(BackendError, match=r"sm_80, .*, compute_80, of which nothing .* capability 7\.5"):
        images.fitting(HELD, (7, 5))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device of compute capability 9.0 that loads what a bundle holds for it."""
    found = Device(SimulatedDriver())
    monkeypatch.setattr(cuda_form, "chosen_device", lambda: found)
    monkeypatch.delenv("GRAPHC_CUDA")
    return found


def for_architecture(folder: Path, architecture: str) -> None:
    """What a simulated driver loads, as the images for one architecture."""
    manifest, source = json.loads((folder / "step.json").read_text()), (folder / "step.py").read_bytes()
    code = code_of(manifest["kernels"], manifest["launches"], source, "here")
    every = [kernel for made in code.kernels for kernel in (made, made.narrow) if kernel and kernel.text]
    loaded = {f"{kernel.function} {architecture}": np.frombuffer(image_of(kernel), np.uint8) for kernel in every}
    with_images(folder, loaded)


@pytest.mark.usefixtures("device")
def test_a_device_runs_the_images_that_are_for_it(exported: Any, tmp_path: Path) -> None:
    folder, losses, _ = exported
    other = changed(folder, tmp_path / "images", lambda manifest: None)
    for_architecture(other, "sm_80")
    with pytest.raises(BackendError, match=r"simulated device: it holds sm_80, .* capability 9\.0"):
        gx.load(other)
    for_architecture(other, "sm_90")
    assert run(gx.load(other), 2) == losses


@pytest.mark.usefixtures("device")
def test_a_bundle_of_sources_runs_on_no_device(exported: Any) -> None:
    with pytest.raises(BackendError, match=r"simulated device: it holds no compiled kernels.*without"):
        gx.load(exported[0])


def test_what_is_missing_is_said(exported: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x = gx.input("x", (3,))
    program = gx.compile([x], x + 1, backend="cuda")
    monkeypatch.delenv("GRAPHC_CUDA")
    monkeypatch.setattr(compiling, "_NEEDED", ("a_module_that_nobody_has",))
    with pytest.raises(BackendError, match=r"needs a_module_that_nobody_has, .* pip install 'graphc\[cuda\]'"):
        program.export(tmp_path / "step")
    choosing.real_device.cache_clear()
    monkeypatch.setattr(choosing, "is_there", lambda module: False)
    with pytest.raises(BackendError, match=r"pip install 'graphc\[cuda-run\]'"):
        gx.load(exported[0])


# The command line ---------------------------------------------------------------------------------------------------
MODEL = """
import graphc as gx

def build():
    x = gx.input("x", (3,))
    w = gx.parameter("w", [1.0, 2.0, 3.0])
    loss = gx.sum((x - w) ** 2)
    return [x], {"loss": loss}, {w: w - 0.1 * gx.grad(loss, w)}
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "small_model.py").write_text(MODEL)
    return f"{tmp_path}/small_model.py:build"


def test_the_command_line_writes_one(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", model, "--backend", "cuda", "-o", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    for text in ("wrote build to", ".py", ".cubins", "compiled for all devices", "parameters"):
        assert text in out
    program = gx.load(tmp_path / "out")
    assert [float(program(np.zeros(3, np.float32))["loss"]) for _ in range(2)] == pytest.approx([14, 14 * 0.64])
    assert main(["compile", model, "--backend", "cuda", "--isa", "avx2", "-o", str(tmp_path / "out")]) == 2
    assert "--isa is for C libraries" in capsys.readouterr().err


@pytest.mark.skipif(bool(lack_of_compiler()), reason="needs the extra cuda")
def test_real_kernels_are_made_without_a_device(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRAPHC_CUDA")
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    assert main(["compile", model, "--backend", "cuda", "-o", str(tmp_path / "out")]) == 0
    found = safetensors.numpy.load_file(tmp_path / "out/build.cubins")
    manifest = json.loads((tmp_path / "out/build.json").read_text())
    assert manifest["architectures"] == ["sm_80", "sm_90", "sm_100", "compute_80"]
    names = {key.partition(" ")[0] for key in found if key != "(program)"}
    assert set(found) == {"(program)", *(f"{name} {arch}" for name in names for arch in manifest["architectures"])}
    for key, image in found.items():
        if " sm_" in key:
            assert image.tobytes().startswith(b"\x7fELF")
            assert key.partition(" ")[0].encode() in image.tobytes()
        elif key != "(program)":
            assert f".entry {key.partition(' ')[0]}(" in image.tobytes().decode()
    monkeypatch.setenv("GRAPHC_CUDA", "simulate")
    assert float(gx.load(tmp_path / "out")(np.zeros(3, np.float32))["loss"]) == 14
