"""The measures of the house: files and functions that can be read at once, and one meaning for the name of a class."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "graphc"
MOST_LINES, MOST_OF_A_FUNCTION = 400, 50


def faults(sources: Mapping[str, str]) -> Iterator[str]:
    """What is too long or called like something else, in modules by path."""
    classes = defaultdict[str, list[str]](list)
    for path, source in sources.items():
        if (lines := source.count("\n")) > MOST_LINES:
            yield f"{path} has {lines} lines"
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_OF_A_FUNCTION:
                    yield f"{path}: {node.name} has {lines} lines"
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(path)
    yield from (f"{name} is a class of {' and of '.join(where)}" for name, where in classes.items() if len(where) > 1)


def test_the_house_keeps_to_them() -> None:
    assert list(faults({str(p.relative_to(PACKAGE)): p.read_text() for p in PACKAGE.rglob("*.py")})) == []


def test_the_test_notices() -> None:
    long = "def f():\n" + "    x = 1\n" * 51
    found = list(
        faults({"a.py": "class A:\n    pass\n" + "x = 1\n" * 400, "b.py": "class A:\n    pass\n", "c.py": long})
    )
    assert found == ["a.py has 402 lines", "c.py: f has 52 lines", "A is a class of a.py and of b.py"]
