"""Hand-written kernels (kernels/cuda) as text for one call: names in capitals become what the call gives for them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from graphc.errors import InternalError
from graphc.kernels import cuda

__all__ = ["part", "rendered"]

FOLDER = Path(cuda.__file__).parent


def rendered(
    module: str, kernel: str, given: Mapping[str, int | bool | str], name: str = "", more: Sequence[str] = (),
    without: Sequence[str] = (),
) -> str:  # fmt: skip
    """The text of a kernel, called `name`, with numbers and expressions in place of what it has in capitals.

    `more` are operands that come behind its own, but for those that it is `without`. Choices by what was given are
    made. Raises InternalError for a name that was not given.
    """
    function = ast.parse(_source(module, kernel)).body[0]
    assert isinstance(function, ast.FunctionDef)
    function.name = name or kernel
    own = [argument for argument in function.args.args if argument.arg not in without]
    function.args.args = [*own, *(ast.arg(operand) for operand in more)]
    text = ast.unparse(ast.fix_missing_locations(_Given(given).visit(function)))
    return text + "\n"


def part(module: str, name: str, given: Mapping[str, int | bool | str]) -> str:
    """The lines of a part, which kernels share: what stands in a function of this name, with what was given."""
    function = _Given(given).visit(ast.parse(_source(module, name)).body[0])
    return "\n".join(ast.unparse(ast.fix_missing_locations(statement)) for statement in function.body)


@functools.cache
def _source(module: str, name: str) -> str:
    """The function of a kernel alone, without the module around it."""
    text = (FOLDER / f"{module}.py").read_text()
    (found,) = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name)
    found.body = found.body[ast.get_docstring(found) is not None :]
    return ast.unparse(found)


class _Given(ast.NodeTransformer):
    def __init__(self, given: Mapping[str, int | bool | str]) -> None:
        self.given = given

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        """Statements in place of a name that stands alone."""
        if isinstance(node.value, ast.Name):
            lines = ast.parse(str(self.given[node.value.id]))
            self.generic_visit(lines)
            return lines.body
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not node.id.isupper():
            return node
        if node.id not in self.given:
            raise InternalError(f"a CUDA kernel asks for {node.id}, which was not given")
        value = self.given[node.id]
        return self.visit(ast.parse(value, mode="eval").body) if isinstance(value, str) else ast.Constant(value)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        found = self.generic_visit(node)
        assert isinstance(found, ast.If)
        if isinstance(found.test, ast.Constant):
            return found.body if found.test.value else found.orelse
        return found

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        found = self.generic_visit(node)
        assert isinstance(found, ast.IfExp)
        if isinstance(found.test, ast.Constant):
            return found.body if found.test.value else found.orelse
        return found
