"""Numbers of one kind each: ints when they run, and to mypy no numbers of another kind."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NewType

from graphc.ir import indices
from graphc.ir.indices import numbered, numbers

RowNumber = NewType("RowNumber", int)
USES = """
from typing import NewType
from indices import Indexed, numbered, numbers

Row = NewType("Row", int)
Column = NewType("Column", int)
First = NewType("First", Row)
rows: Indexed[Row, str] = ["a", "b"]
[rows[row] for row, text in numbered(Row, rows)]
[rows[row] for row in numbers(First, 2)]
[rows[column] for column, text in numbered(Column, rows)]  # wrong
[rows[column] for column in numbers(Column, 2)]  # wrong
rows[len(rows) - 1]  # wrong
{First(Row(0)): 1}[Row(0)]  # wrong
""".lstrip()


def test_at_run_time_they_are_ints() -> None:
    assert list(numbered(RowNumber, "ab")) == [(0, "a"), (1, "b")]
    assert list(numbers(RowNumber, 3)[1:]) == [1, 2]


def test_mypy_tells_them_apart(tmp_path: Path) -> None:
    shutil.copy(indices.__file__, tmp_path)
    (tmp_path / "uses.py").write_text(USES)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "uses.py"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False).stdout.splitlines()
    wrong = [number for number, line in enumerate(USES.splitlines(), 1) if line.endswith("# wrong")]
    assert [int(line.split(":")[1]) for line in told if " error: " in line] == wrong, told
