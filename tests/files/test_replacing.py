"""Files are replaced whole and together, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphc.files import replacing as files
from graphc.files.replacing import folder_lock, replace_file, replace_files

NAMES = ("p.c", "p.so", "p.json")  # the last one vouches for the others
STEPS = 6  # renames of three files that were there


def contents(folder: Path, text: str) -> dict[Path, bytes]:
    return {folder / name: f"{text} {name}".encode() for name in NAMES}


def found(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(params=["before", "nothing"])
def start(request: Any, tmp_path: Path) -> dict[Path, bytes]:
    """What was there before."""
    if request.param == "before":
        replace_files(contents(tmp_path, "old"))
    return found(tmp_path)


def failing(step: int, fail: Callable[[], Any]) -> Callable[..., None]:
    """os.replace, which fails at the given call."""
    calls, replace = iter(range(1000)), os.replace

    def called(*paths: Any) -> None:
        if next(calls) == step:
            fail()
        replace(*paths)

    return called


def test_all_are_written(tmp_path: Path, start: dict[Path, bytes]) -> None:
    mask = os.umask(0o027)
    try:
        replace_files(contents(tmp_path, "new"), runnable=(".so",))
    finally:
        os.umask(mask)
    assert found(tmp_path) == contents(tmp_path, "new")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in NAMES] == [0o640, 0o750, 0o640]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_an_interruption_leaves_what_was_there(
    tmp_path: Path, start: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    for step in range(STEPS if start else STEPS // 2):
        monkeypatch.setattr(files.os, "replace", failing(step, fail))
        with pytest.raises(type(error)):
            replace_files(contents(tmp_path, "new"))
        monkeypatch.undo()
        assert found(tmp_path) == start
    replace_files(contents(tmp_path, "new"))
    assert found(tmp_path) == contents(tmp_path, "new")


def test_a_process_that_is_killed_leaves_no_mixture(tmp_path: Path) -> None:
    old, new = contents(tmp_path, "old"), contents(tmp_path, "new")
    for step in range(STEPS + 1):
        replace_files(old)
        child = os.fork()
        if child == 0:
            try:
                files.os.replace = failing(step, lambda: os._exit(9))  # type: ignore[assignment]
                replace_files(new)
                os._exit(0)
            finally:
                os._exit(1)  # else the tests would run in the child as well
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (9 if step < STEPS else 0)
        visible = {path: data for path, data in found(tmp_path).items() if not path.name.startswith(".")}
        if tmp_path / NAMES[-1] in visible:
            assert visible in (old, new)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_an_error_names_the_file_and_says_that_nothing_was_lost(
    tmp_path: Path, start: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match=r"it is as it was before: '.*/p\.c'") as caught:
        replace_files(contents(tmp_path, "new"))
    assert caught.value.errno == number
    with pytest.raises(OSError, match=r"p\.c"):
        replace_file(tmp_path / "p.c", b"")
    assert found(tmp_path) == start


def test_a_folder_in_the_place_of_a_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "p.so").mkdir()
    with pytest.raises(IsADirectoryError, match=r"p\.so"):
        replace_files(contents(tmp_path, "new"))
    assert [path.name for path in tmp_path.iterdir()] == ["p.so"]


def test_readers_under_the_lock_see_no_replacement(tmp_path: Path) -> None:
    replace_files(contents(tmp_path, "old"))
    with folder_lock(tmp_path), folder_lock(tmp_path):
        writer = threading.Thread(target=replace_files, args=(contents(tmp_path, "new"),))
        writer.start()
        writer.join(0.05)
        assert found(tmp_path).items() >= contents(tmp_path, "old").items()
    writer.join()
    assert found(tmp_path) == contents(tmp_path, "new")
    with folder_lock(tmp_path / "missing"):
        pass
