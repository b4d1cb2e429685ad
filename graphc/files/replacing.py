"""Files that are replaced whole: a reader finds what was there before or all that was written, never a part of it.

What is written goes to hidden files beside the targets first, so that a full disk or a quota is met before anything has
changed. An OSError names the file that could not be written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # where folders cannot be locked, they are not
    fcntl = None  # type: ignore[assignment]

__all__ = ["folder_lock", "replace_file", "replace_files"]


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Write a file. Raises OSError; what was there before is there then."""
    with _staged({path: data}, ()) as staged, _about(path):
        os.replace(staged[path], path)


def replace_files(contents: Mapping[Path, bytes | memoryview], runnable: Sequence[str] = ()) -> None:
    """Write files of one folder, all or none; those with a suffix in `runnable` may be run.

    The last file vouches for the others. It goes first and comes last, so that a process that is killed in between
    leaves nothing that vouches for a mixture. After any other interruption, what was there before is there. Raises
    OSError.
    """
    folder = next(iter(contents)).parent
    with _staged(contents, runnable) as staged, folder_lock(folder, alone=True):
        aside = {path: new.with_name(f"{new.name}.old") for path, new in staged.items() if path.exists()}
        try:
            for path in reversed(staged):
                with _about(path):
                    if path in aside:
                        os.replace(path, aside[path])
            for path, new in staged.items():
                with _about(path):
                    os.replace(new, path)
        except BaseException:
            _undo(staged, aside)
            raise
        finally:
            _remove(aside.values())


def _undo(staged: Mapping[Path, Path], aside: Mapping[Path, Path]) -> None:
    """Take away what came, put back what went."""
    for path, new in staged.items():
        if path in aside and aside[path].exists():
            os.replace(aside[path], path)
        elif path not in aside and not new.exists():
            _remove([path])


@contextlib.contextmanager
def _staged(contents: Mapping[Path, bytes | memoryview], runnable: Sequence[str]) -> Iterator[dict[Path, Path]]:
    """The contents in hidden files beside those that they are for, which are gone afterwards."""
    staged: dict[Path, Path] = {}
    mask = os.umask(0o022)
    os.umask(mask)
    try:
        for path, data in contents.items():
            with _about(path):
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                staged[path] = Path(name)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.chmod(name, (0o777 if path.suffix in runnable else 0o666) & ~mask)
        yield staged
    finally:
        _remove(staged.values())


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """An OSError names `path`, whichever file beside it was meant."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror or error}; it is as it was before", str(path)) from None


@contextlib.contextmanager
def folder_lock(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Meanwhile nobody replaces files of the folder; `alone`: nor reads them under this lock. Where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # what is wrong with it will be said by who uses it
        yield
        return
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)
