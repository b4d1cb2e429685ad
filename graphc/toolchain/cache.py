"""The compile cache: libraries by the hash of what they were made from, in a folder that only its user can write to.

GRAPHC_CACHE names the folder; else it is `graphc` in XDG_CACHE_HOME or in ~/.cache. A folder that others could write
to, or that cannot be used, is not used: a fresh private one serves the process instead, and one warning says so.
Entries appear whole, by a rename, and are checked against their hashes whenever they are looked up: what is damaged is
no entry. The least recently used entries go first when there is more than GRAPHC_CACHE_LIMIT. Everything in the folder
can be deleted at any time.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from graphc.errors import BackendError
from graphc.ir.notice import warn_once
from graphc.toolchain.elf import is_cut

__all__ = ["FOLDER", "LIMIT", "Cache", "Statistics", "digest", "is_full", "open_cache", "use_cache"]

FOLDER = "GRAPHC_CACHE"
LIMIT = "GRAPHC_CACHE_LIMIT"
DEFAULT_LIMIT = 512 << 20
YOUNG = 300  # seconds in which an entry may be on its way from a lookup to the loader
ROOM = 4 << 20  # bytes that a compiler needs to be able to do anything
STALE = 3600  # seconds after which a workspace was left behind by a process that was killed

_KEY = "[0-9a-f]{64}"
_NAME = re.compile(rf"({_KEY})\.(so|sum|c|json)")
_WORKSPACE = "building-"
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True)
class Statistics:
    """What a cache holds: libraries, and the bytes of all its files."""

    folder: Path
    entries: int
    bytes: int
    limit: int


@dataclass(frozen=True)
class _CacheEntry:
    """The files of one key."""

    files: tuple[str, ...]
    bytes: int
    used: float  # when it was last looked up or stored: seconds since the epoch


@dataclass(frozen=True)
class Cache:
    """The entries in `folder`, which is private to this user. Keys are made by `digest`.

    Any number of processes may use one folder at the same time. Methods that write raise OSError where the folder or
    the disk refuses.
    """

    folder: Path
    limit: int = DEFAULT_LIMIT

    def lookup(self, key: str) -> Path | None:
        """The library stored for `key`, or None if there is none, or it is not what was stored, or not whole.

        It then stays for five minutes at least, unless the user clears the cache: load it before.
        """
        library = self._file(key, "so")
        if not re.fullmatch(_KEY, key):
            return None
        try:
            expected, data = self._file(key, "sum").read_bytes(), library.read_bytes()
            if _digest(data).encode() != expected or is_cut(data):
                return None
        except OSError:
            return None
        _touch(library)
        return library

    def store(self, key: str, built: Path) -> Path:
        """Take over the library `built`, made in a `workspace` of this cache; where it is now."""
        library, total = self._file(key, "so"), built.with_suffix(".sum")
        built.chmod(0o600)
        _write(total, _digest(built.read_bytes()))
        built.replace(library)
        total.replace(self._file(key, "sum"))
        self._make_room()
        return library

    def keep_source(self, key: str, source: str) -> Path:
        """Keep the source of what could not be built, to be looked at."""
        path = self._file(key, "c")
        with self.workspace() as folder:
            _write(folder / "source.c", source)
            (folder / "source.c").replace(path)
        return path

    def recall(self, key: str) -> Any:
        """The facts remembered under `key`, as JSON gives them back, or None where they are not what was remembered."""
        path = self._file(key, "json")
        try:
            total, _, text = path.read_text().partition("\n")
            if total != digest(key, text):
                return None
            facts = json.loads(text)
        except (OSError, ValueError, RecursionError):
            return None
        _touch(path)
        return facts

    def remember(self, key: str, facts: Any) -> None:
        """Keep small facts under `key`, behind a line with their hash."""
        text = json.dumps(facts)
        with self.workspace() as folder:
            _write(folder / "facts.json", f"{digest(key, text)}\n{text}")
            (folder / "facts.json").replace(self._file(key, "json"))

    def forget(self, key: str) -> None:
        """Remove what `key` stands for, if anything."""
        for suffix in ("sum", "so", "c", "json"):
            with contextlib.suppress(OSError):
                self._file(key, suffix).unlink()

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A private folder on the cache's own disk, gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix=_WORKSPACE, dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> Statistics:
        """Remove all entries; what was removed. Files that are not the cache's stay."""
        before = self.statistics()
        for entry in self._entries():
            _remove(entry.files)
        self._sweep()
        return before

    def statistics(self) -> Statistics:
        """What is there now."""
        entries = self._entries()
        libraries = sum(any(file.endswith(".so") for file in entry.files) for entry in entries)
        return Statistics(self.folder, libraries, sum(entry.bytes for entry in entries), self.limit)

    def _file(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}.{suffix}"

    def _entries(self) -> list[_CacheEntry]:
        """All entries, the least recently used first."""
        found: dict[str, list[tuple[str, os.stat_result]]] = {}
        with contextlib.suppress(OSError), os.scandir(self.folder) as files:
            for file in files:
                if name := _NAME.fullmatch(file.name):
                    with contextlib.suppress(OSError):  # another process has removed it
                        found.setdefault(name[1], []).append((file.path, file.stat(follow_symlinks=False)))
        entries = [
            _CacheEntry(
                tuple(path for path, _ in files), sum(s.st_size for _, s in files), max(s.st_mtime for _, s in files)
            )
            for files in found.values()
        ]
        return sorted(entries, key=lambda entry: entry.used)

    def _make_room(self) -> None:
        """Remove the least recently used entries until the rest fit."""
        entries, now = self._entries(), time.time()
        excess = sum(entry.bytes for entry in entries) - self.limit
        for entry in entries:
            if excess <= 0 or now - entry.used < YOUNG:
                break
            _remove(entry.files)
            excess -= entry.bytes
        self._sweep()

    def _sweep(self) -> None:
        """Remove workspaces that were left behind."""
        for folder in self.folder.glob(f"{_WORKSPACE}*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.lstat().st_mtime > STALE:
                    shutil.rmtree(folder, ignore_errors=True)


def digest(*parts: str) -> str:
    """The hash of texts, which tells apart what is cut differently: BLAKE2b of 256 bits, as hexadecimal digits."""
    total = hashlib.blake2b(digest_size=32)
    for part in parts:
        data = part.encode()
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _touch(path: Path) -> None:
    """Mark as used just now, where that can be written."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _remove(files: tuple[str, ...]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            os.unlink(file)


# Where the cache lies --------------------------------------------------------------------------------------------
T = TypeVar("T")


def use_cache(use: Callable[[Cache], T]) -> T:
    """What `use` makes of the user's cache or, after an OSError, of this process's own. Raises BackendError."""
    cache = open_cache()
    try:
        return use(cache)
    except OSError as error:
        cache = _temporary_cache(f"the folder {cache.folder} {_said(error)}")
    try:
        return use(cache)
    except OSError as error:
        raise BackendError(f"compiled programs cannot be kept: the folder {cache.folder} {_said(error)}") from None


def open_cache() -> Cache:
    """The user's cache or, where that cannot be used, the one of this process. Raises BackendError."""
    try:
        folder = _wanted_folder()
    except RuntimeError as error:
        return _temporary_cache(str(error))
    try:
        return Cache(_private(folder), _limit())
    except OSError as error:
        return _temporary_cache(f"the folder {folder} {_said(error)}")


def _temporary_cache(reason: str) -> Cache:
    """A cache that ends with this process; a warning says so once. Raises BackendError if there is no room for it."""
    try:
        folder = _temporary_folder(os.getpid())
    except OSError as error:
        raise BackendError(f"compiled programs cannot be kept: {reason}; a temporary folder {_said(error)}") from None
    mending = f"to mend it: put that right, or set {FOLDER} to a folder where you can write and others cannot"
    warn_once("cache", f"compiled programs are kept for this process only: {reason}; {mending}")
    return Cache(folder, _limit())


@functools.cache
def _temporary_folder(process: int) -> Path:
    """The folder of this process; a child after a fork has its own."""
    folder = Path(tempfile.mkdtemp(prefix="graphc-"))
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == process else None)
    return folder


def _said(error: OSError) -> str:
    return f"cannot be used: {error.strerror}" if error.strerror else str(error)


def _wanted_folder() -> Path:
    """What the environment asks for. Raises RuntimeError if it says nothing and this user has no home."""
    if named := os.environ.get(FOLDER):
        return Path(named).expanduser().absolute()
    common = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(common) if os.path.isabs(common) else Path.home() / ".cache") / "graphc"


def _private(folder: Path) -> Path:
    """`folder` without symbolic links, made if it was missing. Raises PermissionError if others could write there.

    Who can write to a folder can replace what is in it, unless its sticky bit says that only owners do that.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder = folder.resolve(strict=True)
    facts = folder.stat()
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError("is a file")
    if facts.st_uid != os.geteuid():
        raise PermissionError("belongs to another user")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("can be written to by others (chmod 700 makes it private)")
    if os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise PermissionError("is on a disk from which no programs may be run")
    for parent in folder.parents:
        facts = parent.stat()
        if facts.st_uid not in (os.geteuid(), 0):
            raise PermissionError(f"can be replaced by another user, to whom {parent} belongs")
        if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not facts.st_mode & stat.S_ISVTX:
            raise PermissionError(f"can be replaced by others, who can write to {parent} (chmod go-w ends that)")
    return folder


def is_full(folder: Path) -> bool:
    """Whether the disk of `folder` has hardly any room left."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize < ROOM


def _limit() -> int:
    """The bytes that the cache may take. Raises BackendError if the environment says what is no size."""
    text = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
    size = re.fullmatch(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if size is None:
        raise BackendError(f"{LIMIT}={text!r} is no size; write bytes, or a number with K, M or G, such as 512M")
    return int(size[1]) << _UNITS[size[2].upper()]
