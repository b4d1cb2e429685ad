"""The road through the house: a module imports only from its own room and from rooms above, and only at its top."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "graphc"

# Rooms on one line are siblings: none imports another. The package's own __init__ shows the house from outside.
ROOMS = (
    ("errors", "files", "version"), ("kernels", "scalar"), ("ir",), ("ops",), ("dsl", "passes", "transforms"),
    ("nn", "optim"), ("fusion",), ("kernel",), ("plan",), ("memory", "toolchain"), ("runtime",), ("backends",),
    ("assembly",), ("aot", "reuse"), ("pipeline",), ("api", "picture"), ("frontier",), ("cli",), ("examples",),
)  # fmt: skip
# Some rooms have rooms of their own; others may import from very few.
WITHIN = {
    "backends": (("backend",), ("cpu",), ("c", "cuda", "numpy", "tile"), ("table",)),
    "ops": (
        ("guard", "record", "special"), ("applying", "protocols"), ("tensor",), ("parameter",), ("build",),
        ("elementwise", "nested"), ("primitives",), ("index_ranges",), ("functions", "reference"),
    ),
}  # fmt: skip
ONLY = {"plan": ("errors", "ir", "plan"), "memory": ("errors", "ir", "memory"), "scalar": ("errors", "scalar")}
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
# These may use `graphc` as a user does.
VISITORS = ("__init__.py", "__main__.py", "cli.py", "commands/", "demo.py", "examples/")


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """The graphc modules that are imported, each as the path after `graphc.`; "" is the package itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["graphc.relative"] if node.level else [node.module or ""]
            if names[0].count(".") < 2:  # out of graphc, or out of a room
                names = [f"{names[0]}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name.partition(".")[2], node) for name in names if name.split(".")[0] == "graphc")


def faults(path: str, source: str) -> list[str]:
    """What is wrong with the imports of the module at `path`, relative to the package."""
    tree, room = ast.parse(source), path.split("/")[0].removesuffix(".py")
    top, found = set(tree.body), []
    for target, node in imports(tree):
        where, other = f"{path}:{node.lineno} imports graphc.{target}", target.split(".")[0]
        guarded = any(isinstance(outer, (ast.If, ast.Try)) and node in ast.walk(outer) for outer in tree.body)
        if node not in top and not guarded:
            found.append(f"{where} inside a function or class")
        if path.startswith(VISITORS) or room not in LEVEL:
            continue
        if other not in LEVEL:
            found.append(f"{where}, which is no room")
        elif other != room and LEVEL[other] >= LEVEL[room]:
            found.append(f"{where}, which is not above {room}")
        elif other not in ONLY.get(room, (other,)):
            found.append(f"{where}; {room} imports from {', '.join(ONLY[room])} alone")
        elif other == room in WITHIN and not goes_up(path, target, WITHIN[room]):
            found.append(f"{where}, which is not above it in {room}")
    return found


def goes_up(path: str, target: str, rooms: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the module at `path` may import `target`, both in one room that has `rooms` and no others."""
    level = {inner: level for level, inners in enumerate(rooms) for inner in inners}
    own, other = path.split("/")[1].removesuffix(".py"), target.partition(".")[2].split(".")[0]
    return own == "__init__" or own == other or level.get(other, len(rooms)) < level.get(own, -1)


@pytest.mark.parametrize("path", sorted(str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py")))
def test_imports_go_up(path: str) -> None:
    assert faults(path, (PACKAGE / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("ir/node.py", "from graphc.ops import record"),
        ("dsl/a.py", "import graphc.passes.fold"),
        ("ops/a.py", "def f():\n    from graphc.ir import node"),
        ("ops/a.py", "from graphc import compile"),
        ("ops/a.py", "from .record import Op"),
        ("runtime/a.py", "from graphc.cli import main"),
        ("plan/a.py", "from graphc.fusion.group import Group"),
        ("ops/primitives/a.py", "from graphc.ops.functions.shapes import reshape"),
        ("ops/build.py", "from graphc.ops.primitives.views import reshape_to"),
        ("ops/record.py", "from graphc.ops.functions import scan"),
        ("ops/new.py", "from graphc.ops.record import Op"),
        ("ops/record.py", "from graphc.ops import functions"),
        ("backends/c/a.py", "from graphc.backends.tile.words import OPS"),
        ("backends/cpu/a.py", "from graphc.backends.c.kernel import print_kernel"),
    ],
)
def test_the_test_notices(path: str, source: str) -> None:
    assert faults(path, source)
