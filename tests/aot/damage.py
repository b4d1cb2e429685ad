"""Damages an exported program in every way and loads it: in a process of its own, since death is one of the outcomes.

    python -m tests.aot.damage FOLDER        of a program `step`, as tests.aot.test_wrong_bundles exports it

Prints what it tries, a line each, and on the next line the name of the error, "right" for the right answers, or what is
wrong with the outcome.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import graphc as gx
from graphc.errors import BackendError, FormatError
from tests.aot.programs import arrays_for
from tests.mutations import mutants


# Lies that were told ------------------------------------------------------------------------------------------------
def smaller_output(manifest: Any) -> None:
    """Consistently: the buffer and its shape."""
    plan = manifest["plan"]
    plan["buffers"][plan["outputs"][0]].update(shape=[1], nbytes=4)


def tiny_arena(manifest: Any) -> None:
    for buffer in manifest["plan"]["buffers"]:
        if buffer["space"] == "arena":
            buffer.update(shape=[1], nbytes=4)


def extra_output(manifest: Any) -> None:
    manifest["plan"]["outputs"].append(-1)
    manifest["plan"]["names"].append("more")


def swapped_outputs(manifest: Any) -> None:
    manifest["plan"]["outputs"].reverse()


def swapped_names(manifest: Any) -> None:
    names = manifest["plan"]["names"]
    names[-1], names[-2] = names[-2], names[-1]


def swapped_parameters(manifest: Any) -> None:
    first, second = manifest["plan"]["parameters"][:2]
    for entry in manifest["state"]:
        entry["buffer"] = {first: second, second: first}.get(entry["buffer"], entry["buffer"])


def reversed_parameters(manifest: Any) -> None:
    manifest["plan"]["parameters"].reverse()


def unknown_dtype(manifest: Any) -> None:
    manifest["plan"]["buffers"][0]["dtype"] = "float37"


def another_level(manifest: Any) -> None:
    manifest["level"] = "baseline" if manifest["level"] != "baseline" else "avx2"


LIES: dict[str, Callable[[Any], None]] = {
    lie.__name__: lie
    for lie in (
        smaller_output, tiny_arena, extra_output, swapped_outputs, swapped_names, swapped_parameters,
        reversed_parameters, unknown_dtype, another_level,
    )
}  # fmt: skip


# Damage -------------------------------------------------------------------------------------------------------------
SUFFIXES = ("c", "h", "so", "safetensors", "json")


def write(path: Path, data: bytes) -> None:
    """A new file: this process has the old one open, if it is a library."""
    path.unlink()
    path.write_bytes(data)


def answers(folder: Path) -> list[bytes]:
    """What three steps of the program give."""
    program = gx.load(folder)
    arrays = arrays_for(program)
    return [np.asarray(value).tobytes() for _ in range(3) for value in flat(program(*arrays))]


def flat(answer: Any) -> list[Any]:
    if isinstance(answer, dict):
        return [part for name, value in answer.items() for part in (name.encode(), value)]
    return answer if isinstance(answer, list) else [answer]


def manifests(folder: Path) -> Iterator[str]:
    """The manifest damaged field by field."""
    path = folder / "step.json"
    manifest = json.loads(path.read_text())
    for what in mutants(manifest):
        path.write_text(json.dumps(manifest))
        yield f"step.json: {what}"


def bytes_of(folder: Path, suffix: str, flips: int) -> Iterator[str]:
    """Bits flipped and ends cut off in one file; the manifest knows nothing of it."""
    path = folder / f"step.{suffix}"
    data = path.read_bytes()
    rng = np.random.default_rng(len(data))
    places = {0, 8, 100, len(data) - 1, *rng.integers(0, len(data), flips).tolist()}
    for place in sorted(places & set(range(len(data)))):
        write(path, data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :])
        yield f"{path.name}: a bit of byte {place} of {len(data)}"
    parts = {"half of": len(data) // 2, "a third of": len(data) // 3, "all but a byte of": len(data) - 1}
    for part, length in {**{f"{n} bytes of": n for n in (0, 1, 63, 64)}, **parts}.items():
        write(path, data[:length])
        yield f"{path.name}: {part} it"


def signed(folder: Path, suffix: str, flips: int) -> Iterator[str]:
    """The same, and the manifest has the right hash of what came of it."""
    path = folder / "step.json"
    manifest = json.loads(path.read_text())
    for what in bytes_of(folder, suffix, flips):
        if suffix == "so" and "a bit of" in what:
            continue  # another program: nothing can tell what it would do
        data = (folder / f"step.{suffix}").read_bytes()
        manifest["files"][suffix] = hashlib.sha256(data).hexdigest()
        path.write_text(json.dumps(manifest))
        yield f"{what}, signed"


def lies(folder: Path) -> Iterator[str]:
    path = folder / "step.json"
    text = path.read_text()
    for name, lie in LIES.items():
        manifest = json.loads(text)
        lie(manifest)
        path.write_text(json.dumps(manifest))
        yield f"lie: {name}"


def damages(folder: Path) -> Iterator[str]:
    yield from whole(folder, lies(folder))
    yield from manifests(folder)
    for suffix in SUFFIXES:
        yield from whole(folder, bytes_of(folder, suffix, 60))
    yield from whole(folder, signed(folder, "so", 0))
    yield from whole(folder, signed(folder, "safetensors", 150))


def whole(folder: Path, tries: Iterator[str]) -> Iterator[str]:
    """`tries`, and all files as they were after them."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    yield from tries
    for path, data in before.items():
        write(path, data)


def main(original: Path) -> None:
    folder = original.with_name("damaged")
    shutil.copytree(original, folder)
    expected = answers(folder)
    for what in damages(folder):
        print(what.encode("ascii", "backslashreplace").decode(), flush=True)
        print(outcome(folder, expected, what), flush=True)


def outcome(folder: Path, expected: list[bytes], what: str) -> str:
    try:
        found = answers(folder)
    except (FormatError, BackendError) as error:
        return type(error).__name__ if 10 < len(str(error)) < 5000 else f"says {str(error)[:80]!r}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is reported
        return f"{type(error).__name__}: {error}"[:200].replace("\n", " ")
    only_data = what.startswith("step.safetensors") and what.endswith("signed")  # other values are other values
    return "right" if found == expected or only_data else "other answers"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
