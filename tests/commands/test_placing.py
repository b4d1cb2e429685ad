"""`graphc place`: what it prints and writes, its exit codes, and the lines that its errors name."""

from __future__ import annotations

import builtins
import csv
import re
from pathlib import Path

import pytest

from graphc.cli import main
from graphc.commands.placing import read_buffers
from graphc.memory.placement import Placement, check
from tests.memory.instances import cut

HEADER = "id,lower,upper,size\n"


@pytest.fixture
def buffers(tmp_path: Path) -> Path:
    """A file of 200 buffers that fill 65,536 bytes without a gap, which greedy placement does not find."""
    path = tmp_path / "buffers.csv"
    rows = [f"b{i},{block.first},{block.last + 1},{block.size}" for i, block in enumerate(cut(0, 200))]
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = main(["place", *map(str, arguments)])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def facts(out: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in out.splitlines())


def test_prints_bound_peak_gap_and_time(capsys, buffers):
    code, out, err = run(capsys, buffers)
    found = facts(out)
    assert (code, err) == (0, "")
    assert list(found) == ["buffers", "bound", "peak", "gap", "time"]
    assert (found["buffers"], found["gap"]) == ("200", "0 bytes")
    assert found["bound"] == found["peak"] == "65,536 bytes (64.00 KiB)"
    assert re.fullmatch(r"\d+\.\d\d s", found["time"])


def test_a_gap_is_told_in_bytes_and_as_a_part(capsys, buffers):
    code, out, _ = run(capsys, buffers, "--effort", 1)
    assert code == 0
    peak = int(facts(out)["peak"].split()[0].replace(",", ""))
    assert peak > 65_536
    assert facts(out)["gap"] == f"{peak - 65_536:,} bytes ({peak / 65_536 - 1:.2%})"


def test_writes_the_file_again_with_offsets(capsys, buffers, tmp_path):
    output = tmp_path / "placed.csv"
    assert run(capsys, buffers, "--capacity", 65_536, "--output", output)[0] == 0
    rows = list(csv.DictReader(output.open(newline="")))
    table = read_buffers(output)
    check(table.blocks, Placement(tuple(int(row["offset"]) for row in rows), 65_536, 65_536))
    assert output.read_text().splitlines()[0] == "id,lower,upper,size,offset"
    assert [",".join(list(row.values())[:4]) for row in rows] == buffers.read_text().splitlines()[1:]
    again = tmp_path / "again.csv"
    assert run(capsys, output, "--output", again)[0] == 0
    assert len(again.read_text().splitlines()[0].split(",")) == 5


def test_other_columns_and_orders_stay(capsys, tmp_path):
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text(
        'size, upper,offset,lower,id,note\r\n64,2,7,0,a,"x, y"\r\n\r\n64,3,7,1,b,\r\n', encoding="utf-8-sig"
    )
    assert run(capsys, path, "--output", output)[0] == 0
    lines = output.read_text().splitlines()
    assert lines[0] == "size,upper,lower,id,note,offset"
    rows, offsets = zip(*(line.rsplit(",", 1) for line in lines[1:]), strict=True)
    assert rows == ('64,2,0,a,"x, y"', "64,3,1,b,")
    assert sorted(offsets) == ["0", "64"]


def test_a_capacity_is_met_or_the_exit_code_is_1_and_nothing_is_written(capsys, buffers, tmp_path):
    output = tmp_path / "placed.csv"
    code, out, _ = run(capsys, buffers, "--capacity", 65_536, "--output", output)
    assert (code, facts(out)["capacity"]) == (0, "65,536 bytes: met")
    output.unlink()
    code, out, _ = run(capsys, buffers, "--capacity", 65_535, "--output", output)
    assert (code, facts(out)["capacity"]) == (1, "65,535 bytes: cannot be met, since more is alive at once")
    code, out, _ = run(capsys, buffers, "--capacity", 65_536, "--output", output, "--effort", 1)
    peak = int(facts(out)["peak"].split()[0].replace(",", ""))
    assert (code, facts(out)["capacity"]) == (1, f"65,536 bytes: not met, {peak - 65_536:,} bytes too many")
    assert not output.exists()


def test_offsets_are_aligned(capsys, buffers, tmp_path):
    output = tmp_path / "placed.csv"
    assert run(capsys, buffers, "--alignment", 256, "--output", output)[0] == 0
    offsets = [int(row["offset"]) for row in csv.DictReader(output.open(newline=""))]
    assert any(offsets)
    assert all(offset % 256 == 0 for offset in offsets)


def test_a_file_without_buffers_needs_nothing(capsys, tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text(HEADER)
    code, out, _ = run(capsys, path, "--plot", tmp_path / "empty.svg")
    assert (code, facts(out)["peak"]) == (0, "0 bytes (0 B)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the header lacks id, lower, upper, size; it should name id, lower, upper, size, and says nothing"),
        ("id,lower,size\n", ":1: the header lacks upper;"),
        (HEADER + "a,0,3,64\nb,0,x,64\n", ":3: upper is 'x', which is no whole number"),
        (HEADER + "a,0,3,64\n\nb,0,3,1.5\n", ":4: size is '1.5', which is no whole number"),
        (HEADER + "a,0,3\n", ":2: 3 values under a header of 4"),
        (HEADER + "a,0,3,64,5\n", ":2: 5 values under a header of 4"),
        (HEADER + "a,3,3,64\n", ":2: upper is 3 and lower 3; upper is the first step after the buffer's life"),
        (HEADER + "a,0,3,-64\n", ":2: the size -64 is negative"),
        (HEADER + f"a,0,3,{1 << 61}\n", ":2: size is 2305843009213693952, which is more than 2^60"),
        (HEADER + "a,0,3,64\nb,0,3,64\na,0,3,64\n", ":4: the id 'a' is already that of line 2"),
        (HEADER + 'a,0,3,64\n"b,0,3,64\n', ":3: this is no line of a CSV file"),
        (HEADER + 'a,0,3,64\n"b"x,0,3,64\n', ":3: this is no line of a CSV file"),
        (HEADER.encode() + b"a,0,3,64\n\xff\xfe,0,3,64\n", ":3: this is no text in UTF-8"),
    ],
)
def test_errors_name_the_line(capsys, tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = run(capsys, path)
    assert (code, out) == (1, "")
    assert f"{path}{message}" in err
    assert "Traceback" not in err


def test_a_missing_file_and_a_strange_picture_are_errors(capsys, tmp_path, buffers):
    code, _, err = run(capsys, tmp_path / "none.csv")
    assert code == 1
    assert "none.csv" in err
    code, _, err = run(capsys, buffers, "--plot", "arena.txt")
    assert code == 2
    assert "'arena.txt' ends in none of .png, .svg, .pdf" in err
    assert run(capsys, buffers, "--capacity", "0")[0] == 2


# Pictures --------------------------------------------------------------------------------------------------------
def test_the_command_draws(capsys, buffers, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "arena.png"
    code, out, _ = run(capsys, buffers, "--plot", path)
    assert (code, facts(out)["wrote"]) == (0, str(path))
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_matplotlib_the_error_says_what_to_install(capsys, buffers, tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    code, out, err = run(capsys, buffers, "--plot", tmp_path / "arena.png")
    assert (code, out) == (1, "")
    assert "pip install 'graphc[demo]'" in err
