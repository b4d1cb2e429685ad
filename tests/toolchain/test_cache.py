"""The compile cache: entries whole or not at all, private, within its limit, and always somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphc.errors import BackendError, GraphcWarning
from graphc.ir import notice
from graphc.toolchain import cache as module
from graphc.toolchain.cache import Cache, digest, open_cache, use_cache

KEY = digest("a library")
CONTENTS = b"what a compiler made"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    return Cache(folder, 1 << 20)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No warning has been given, no temporary folder made, and the environment asks for nothing."""
    monkeypatch.setattr(notice, "_given", set())
    monkeypatch.delenv(module.LIMIT, raising=False)
    module._temporary_folder.cache_clear()
    yield
    module._temporary_folder.cache_clear()


def store(cache: Cache, key: str = KEY, contents: bytes = CONTENTS) -> Path:
    with cache.workspace() as folder:
        (folder / "program.so").write_bytes(contents)
        return cache.store(key, folder / "program.so")


def age(cache: Cache, key: str, seconds: float) -> None:
    for path in cache.folder.glob(f"{key}.*"):
        os.utime(path, (time.time() - seconds,) * 2)


def test_what_was_stored_is_found(cache: Cache) -> None:
    assert cache.lookup(KEY) is None
    path = store(cache)
    assert cache.lookup(KEY) == path
    assert path.read_bytes() == CONTENTS
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(cache.folder)) == [f"{KEY}.so", f"{KEY}.sum"], "no workspace is left behind"
    assert store(cache, contents=b"another") == path
    assert cache.lookup(KEY).read_bytes() == b"another"


def test_digests_tell_texts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc") != digest("abc", "")
    assert len(digest()) == 64


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "grown", "removed", "sum lost", "sum garbled"])
def test_a_damaged_entry_is_not_found(cache: Cache, damage: str) -> None:
    path = store(cache)
    total = path.with_suffix(".sum")
    match damage:
        case "flipped":
            path.write_bytes(bytes([CONTENTS[0] ^ 1]) + CONTENTS[1:])
        case "cut" | "emptied":
            path.write_bytes(CONTENTS[:-1] if damage == "cut" else b"")
        case "grown":
            path.write_bytes(CONTENTS + b"\0")
        case "removed":
            path.unlink()
        case "sum lost":
            total.unlink()
        case "sum garbled":
            total.write_bytes(b"\xff\xfe")
    assert cache.lookup(KEY) is None
    store(cache)
    assert cache.lookup(KEY) == path


def test_facts_are_remembered(cache: Cache) -> None:
    assert cache.recall(KEY) is None
    cache.remember(KEY, {"version": "12", "refused": ["-x"]})
    assert cache.recall(KEY) == {"version": "12", "refused": ["-x"]}
    (cache.folder / f"{KEY}.json").write_bytes(b'{"version": "1\xff')
    assert cache.recall(KEY) is None
    cache.forget(KEY)
    assert os.listdir(cache.folder) == []


def test_the_least_recently_used_entries_make_room(cache: Cache) -> None:
    cache = Cache(cache.folder, 10_000)
    keys = [digest(str(i)) for i in range(5)]
    for position, key in enumerate(keys[:4]):
        store(cache, key, bytes(2400))
        age(cache, key, 5000 - 1000 * position)
    assert cache.lookup(keys[0]) is not None, "all fit; and this makes it the most recently used"
    store(cache, keys[4], bytes(2400))
    assert [cache.lookup(key) is not None for key in keys] == [True, False, True, True, True]
    assert cache.statistics().bytes <= 10_000


def test_young_entries_stay_whatever_the_limit(cache: Cache) -> None:
    cache = Cache(cache.folder, 0)
    keys = [digest(str(i)) for i in range(3)]
    for key in keys:
        store(cache, key)
    assert all(cache.lookup(key) for key in keys)
    for key in keys:
        age(cache, key, module.YOUNG + 1)
    store(cache)
    assert cache.statistics().entries == 1


def test_clearing_leaves_what_is_not_the_caches(cache: Cache) -> None:
    store(cache)
    cache.keep_source(digest("broken"), "int main(")
    (cache.folder / "notes.txt").write_text("mine")
    (cache.folder / "library.so").write_text("mine")
    stale, active = cache.folder / "building-stale", cache.folder / "building-active"
    for folder in (stale, active):
        folder.mkdir()
    os.utime(stale, (time.time() - module.STALE - 1,) * 2)
    removed = cache.clear()
    assert (removed.folder, removed.entries, removed.bytes) == (cache.folder, 1, len(CONTENTS) + 64 + 9)
    assert sorted(os.listdir(cache.folder)) == ["building-active", "library.so", "notes.txt"]
    assert cache.statistics() == module.Statistics(cache.folder, 0, 0, cache.limit)


# Where it lies ---------------------------------------------------------------------------------------------------
def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.FOLDER, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert open_cache().folder == tmp_path / "home/.cache/graphc"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/not/allowed")
    assert open_cache().folder == tmp_path / "home/.cache/graphc"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert open_cache().folder == tmp_path / "xdg/graphc"
    monkeypatch.setenv(module.FOLDER, str(tmp_path / "own/one"))
    assert open_cache().folder == tmp_path / "own/one"
    for folder in ("home", "home/.cache", "home/.cache/graphc", "own", "own/one"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
    assert open_cache().limit == module.DEFAULT_LIMIT


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1000), ("3K", 3 << 10), ("2 MiB", 2 << 20), ("1g", 1 << 30), ("0", 0)]
)
def test_the_environment_sets_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv(module.FOLDER, str(tmp_path))
    monkeypatch.setenv(module.LIMIT, text)
    assert open_cache().limit == size
    monkeypatch.setenv(module.LIMIT, "plenty")
    with pytest.raises(BackendError, match="'plenty' is no size"):
        open_cache()


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """The folder is not used: a private one is, and one warning says so however often it is asked for."""
    monkeypatch.setenv(module.FOLDER, str(folder))
    with pytest.warns(GraphcWarning, match=message) as caught:
        first, second = open_cache(), open_cache()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert first == second
    assert first.folder not in (folder, folder.resolve())
    assert first.folder.stat().st_mode & 0o777 == 0o700
    assert first.lookup(KEY) is None
    assert store(first).parent == first.folder


@as_root
def test_a_folder_of_another_user_is_not_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    store(cache)
    os.chown(cache.folder, 12345, -1)
    refused(cache.folder, monkeypatch, "belongs to another user")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    store(cache)
    cache.folder.chmod(mode)
    refused(cache.folder, monkeypatch, "can be written to by others")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o707, 0o2775])
@pytest.mark.parametrize("above", [0, 1])
def test_a_folder_that_others_can_replace_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, above: int
) -> None:
    folder = tmp_path / "one/two/cache"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    folder.parents[above].chmod(mode)
    refused(folder, monkeypatch, f"can be replaced by others, who can write to {folder.parents[above]} ")


def test_a_folder_below_one_where_only_owners_replace_is_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.folder.parent.chmod(0o1777)
    monkeypatch.setenv(module.FOLDER, str(cache.folder))
    assert open_cache().folder == cache.folder


@as_root
def test_a_folder_below_that_of_another_user_is_not_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(cache.folder.parent, 12345, -1)
    refused(cache.folder, monkeypatch, "can be replaced by another user")


def test_facts_that_are_not_what_was_remembered_are_none(cache: Cache) -> None:
    cache.remember(KEY, {"version": "12"})
    path = cache.folder / f"{KEY}.json"
    text = path.read_text()
    for damaged in (text.replace("12", "13"), text[1:], text[:-1], text + " ", "", "\n", "[" * 100_000):
        path.write_text(damaged)
        assert cache.recall(KEY) is None
    assert cache.lookup("\ud800") is cache.lookup("../" + KEY) is None


def test_symbolic_links_are_followed_and_what_they_lead_to_is_looked_at(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(cache.folder)
    monkeypatch.setenv(module.FOLDER, str(link))
    assert open_cache().folder == cache.folder
    cache.folder.chmod(0o777)
    refused(link, monkeypatch, "can be written to by others")


@pytest.mark.parametrize(("place", "message"), [("file", "is a file"), ("file/below", "Not a directory")])
def test_a_file_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path / place, monkeypatch, message)


def test_a_disk_that_refuses_is_replaced(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read-only or full: what fails in the user's folder is done again in a temporary one."""
    monkeypatch.setenv(module.FOLDER, str(cache.folder))
    make, used = module.tempfile.mkdtemp, []

    def full(**options: object) -> str:
        if options.get("dir") == cache.folder:
            raise OSError(28, "No space left on device")
        return make(**options)

    def work(cache: Cache) -> Path:
        used.append(cache.folder)
        return store(cache)

    monkeypatch.setattr(module.tempfile, "mkdtemp", full)
    with pytest.warns(GraphcWarning, match="No space left on device"):
        path = use_cache(work)
    assert used == [cache.folder, path.parent]
    monkeypatch.setattr(module.tempfile, "mkdtemp", lambda **options: full(dir=cache.folder))
    with pytest.raises(BackendError, match=r"cannot be kept.*No space left"):
        use_cache(work)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_read_only_folder_serves_what_it_has(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.FOLDER, str(cache.folder))
    path = store(cache)
    cache.folder.chmod(0o500)
    assert use_cache(lambda cache: cache.lookup(KEY)) == path
    with pytest.warns(GraphcWarning, match="Permission denied"):
        assert use_cache(store).parent != cache.folder
    cache.folder.chmod(0o700)


def test_a_folder_that_cannot_be_written_still_serves(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.FOLDER, str(cache.folder))
    path = store(cache)
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(PermissionError(30, "Read-only file system")))
    assert use_cache(lambda cache: cache.lookup(KEY)) == path


def test_the_temporary_folder_ends_with_its_process_alone(tmp_path: Path) -> None:
    """A child that ends after a fork does not take the folder with it, and makes its own."""
    script = """
import os, sys
from graphc.toolchain.cache import open_cache
mine = open_cache().folder
child = os.fork()
if child == 0:
    print(open_cache().folder != mine, flush=True)
    sys.exit()
os.waitpid(child, 0)
print(mine.exists(), mine)
"""
    environment = {**os.environ, module.FOLDER: "/dev/null", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    apart, stays, folder = done.stdout.split()
    assert (apart, stays) == ("True", "True")
    assert not Path(folder).exists()
    assert os.listdir(tmp_path) == []


def test_the_usual_case_warns_of_nothing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.FOLDER, str(cache.folder))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_cache().folder == cache.folder
