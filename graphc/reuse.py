"""Programs compiled before: a graph met again finds its plan and its code in the compile cache.

What a graph is compiled to follows from its text (ir/text.py, with the user's lines and the names of parameters), the
files of graphc, NumPy's version (which folds constants), threads and memory budget, and what the backend names, such as
the compiler and its flags: the key holds all of these. A plan that was read is data like any other: it is verified, and
taken only with the digest that it had. Which parameters are
trained is no part of a graph's text: it is asked of the parameters themselves.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from graphc.assembly.write import Assembled
from graphc.backends.backend import Code
from graphc.dsl.naming import named_text
from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.text import ordered_nodes
from graphc.ir.types import DTYPES
from graphc.kernels import cpu, cuda
from graphc.ops.parameter import Parameter
from graphc.plan.format import from_json, to_json, verified
from graphc.plan.plan import BufferNumber, Plan
from graphc.toolchain.cache import digest, open_cache, use_cache

__all__ = ["program_key", "recall_program", "remember_program"]

FORMAT = "4"
T = TypeVar("T")
MOST_DATA = 1 << 20  # bytes of constants that are kept beside a plan


def program_key(graph: Graph, backend: str, identity: Sequence[str], threads: int, budget: int | float | None) -> str:
    """The hash of what the plan and the code of `graph` depend on."""
    settings = (backend, *identity, str(threads), repr(budget))
    return digest("program", FORMAT, own_digest(), np.__version__, *settings, named_text(graph))


@functools.cache
def own_digest() -> str:
    """The hash of graphc's own files: modules, in Cython as well, CUDA kernels, headers that generated C carries."""
    folders = (os.path.dirname(os.path.abspath(module)) for module in (__file__, cpu.__file__, cuda.__file__))
    return digest(*map(files_digest, folders))


def files_digest(top: str) -> str:
    """The hash of the names and contents of the modules, Cython sources and headers in the folder `top`."""
    total = hashlib.blake2b(digest_size=32)
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".pyx", ".pxd", ".h")):
                with open(os.path.join(folder, name), "rb", buffering=0) as file:
                    contents = file.read()
                total.update(f"{name} {len(contents)}\n".encode())
                total.update(contents)
    return total.hexdigest()


def remember_program(key: str, graph: Graph, assembled: Assembled) -> None:
    """Keep the plan of `graph` and its code, unless that would take much room."""
    numbers = {node: number for number, node in enumerate(ordered_nodes(graph))}
    if sum(array.nbytes for array in assembled.constants) > MOST_DATA:
        return
    if not all(parameter in numbers for parameter in assembled.parameters):
        raise InternalError("a plan has a parameter that its graph lacks")
    plan, code = to_json(assembled.plan), json.dumps(assembled.code.facts())
    facts = {
        "plan": plan,
        "code": code,
        "digest": digest("contents", plan, code),
        "library": assembled.library,
        "parameters": [numbers[parameter] for parameter in assembled.parameters],
        "constants": [base64.b64encode(np.ascontiguousarray(a).tobytes()).decode() for a in assembled.constants],
    }
    use_cache(lambda cache: cache.remember(key, facts))


def recall_program(key: str, graph: Graph, code_of: Callable[[Mapping[str, Any]], Code]) -> Assembled | None:
    """The plan and the code that were kept for `graph`; None where anything of them is missing or damaged."""
    entry = open_cache().recall(key)
    try:
        text, code, library = (_of_type(str, entry[name]) for name in ("plan", "code", "library"))
        if entry["digest"] != digest("contents", text, code):
            return None
        plan = verified(from_json(text))
        parameters = _parameters(plan, dict(enumerate(ordered_nodes(graph))), entry["parameters"])
        pairs = zip(plan.constants, entry["constants"], strict=True)
        constants = tuple(_constant(plan, position, data) for position, data in pairs)
    except (LookupError, TypeError, ValueError):
        return None
    trained = zip(plan.parameters, (parameter.trainable for parameter in parameters), strict=True)
    plan = replace(plan, states=tuple(position for position, is_trained in trained if not is_trained))
    return Assembled(plan, parameters, constants, functools.cache(lambda: code_of(json.loads(code))), library)


def _of_type(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} is not {kind.__name__}")
    return value


def _parameters(plan: Plan, nodes: Mapping[int, Node], numbers: Any) -> tuple[Parameter, ...]:
    """The nodes that the plan's parameters are. Raises LookupError, TypeError, ValueError where they do not fit."""
    found = []
    for position, number in zip(plan.parameters, numbers, strict=True):
        node, buffer = nodes[_of_type(int, number)], plan.buffers[position]
        if not isinstance(node, Parameter) or (node.dtype.name, node.shape) != (buffer.dtype, buffer.shape):
            raise ValueError(f"node {number} is not the parameter in buffer {position}")
        found.append(node)
    return tuple(found)


def _constant(plan: Plan, position: BufferNumber, data: Any) -> np.ndarray:
    """The contents of a buffer. Raises TypeError, ValueError."""
    buffer = plan.buffers[position]
    contents = base64.b64decode(_of_type(str, data), validate=True)
    return np.frombuffer(contents, DTYPES[buffer.dtype].numpy).reshape(buffer.shape)
