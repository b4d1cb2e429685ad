"""Programs compiled before: a graph met again finds its plan, and through it its library, in the compile cache.

What a graph is compiled to follows from its text (ir/text.py, with the user's lines and the names of parameters), the
files of graphc, NumPy's version (which folds constants), threads and memory budget, the compiler and its flags: the key
holds all of these. A plan that was read is data like any other, and verified before it runs. Which parameters are
trained is no part of a graph's text: it is asked of the parameters themselves.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graphc.assembly.plan import Assembled
from graphc.dsl.naming import named_text
from graphc.errors import FormatError, InternalError
from graphc.ir.graph import Graph
from graphc.ir.text import ordered_nodes
from graphc.ir.types import DTYPES
from graphc.kernels import cpu
from graphc.ops.tensor import Parameter
from graphc.runtime.build import library_key
from graphc.runtime.cache import digest, open_cache, use_cache
from graphc.runtime.compiler import Compiler
from graphc.runtime.plan import Plan
from graphc.runtime.plan_format import from_json, to_json
from graphc.runtime.verify import verify

__all__ = ["program_key", "recall_program", "remember_program"]

FORMAT = "1"
MOST_DATA = 1 << 20  # bytes of constants that are kept beside a plan


def program_key(graph: Graph, threads: int, budget: int | float | None, level: str, compiler: Compiler) -> str:
    """The hash of what the plan and the library of `graph` depend on."""
    settings = (str(threads), repr(budget))
    parts = ("program", FORMAT, own_digest(), np.__version__, *settings, named_text(graph))
    return library_key(digest(*parts), level, compiler)


@functools.cache
def own_digest() -> str:
    """The hash of graphc's own files: its modules, in Cython as well, and the headers that generated C carries."""
    return digest(*(files_digest(os.path.dirname(os.path.abspath(module))) for module in (__file__, cpu.__file__)))


def files_digest(top: str) -> str:
    """The hash of the names and contents of the modules, Cython sources and headers in the folder `top`."""
    total = hashlib.blake2b(digest_size=32)
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".pyx", ".h")):
                with open(os.path.join(folder, name), "rb", buffering=0) as file:
                    contents = file.read()
                total.update(f"{name} {len(contents)}\n".encode())
                total.update(contents)
    return total.hexdigest()


def remember_program(key: str, graph: Graph, assembled: Assembled, library: str) -> None:
    """Keep the plan of `graph` and the key of its library, unless that would take much room."""
    numbers = {node: number for number, node in enumerate(ordered_nodes(graph))}
    if sum(array.nbytes for array in assembled.constants) > MOST_DATA:
        return
    if not all(parameter in numbers for parameter in assembled.parameters):
        raise InternalError("a plan has a parameter that its graph lacks")
    facts = {
        "library": library,
        "plan": to_json(assembled.plan),
        "source": assembled.source,
        "parameters": [numbers[parameter] for parameter in assembled.parameters],
        "constants": [base64.b64encode(np.ascontiguousarray(a).tobytes()).decode() for a in assembled.constants],
    }
    use_cache(lambda cache: cache.remember(key, {**facts, "sum": _sum(facts)}))


def recall_program(key: str, graph: Graph) -> tuple[Assembled, Path] | None:
    """The plan and the library that were kept for `graph`; None where anything of them is missing or damaged."""
    cache = open_cache()
    try:
        facts = dict(cache.recall(key) or {})
        if facts.pop("sum", "") != _sum(facts):
            return None
        plan = from_json(facts["plan"])
        verify(plan)
        nodes = ordered_nodes(graph)
        parameters = tuple(nodes[number] for number in facts["parameters"])
        constants = tuple(map(functools.partial(_constant, plan), plan.constants, facts["constants"]))
        library = cache.lookup(facts["library"])
    except (KeyError, IndexError, TypeError, ValueError, FormatError, InternalError):
        return None
    if library is None or not all(isinstance(parameter, Parameter) for parameter in parameters):
        return None
    trained = zip(plan.parameters, (parameter.trainable for parameter in parameters), strict=True)
    plan = replace(plan, states=tuple(position for position, is_trained in trained if not is_trained))
    return Assembled(plan, parameters, constants, facts["source"]), library


def _constant(plan: Plan, position: int, data: str) -> np.ndarray:
    """The contents of a buffer. Raises ValueError."""
    buffer = plan.buffers[position]
    return np.frombuffer(base64.b64decode(data), DTYPES[buffer.dtype].numpy).reshape(buffer.shape)


def _sum(facts: dict[str, Any]) -> str:
    """The hash of what is kept."""
    texts = (facts[name] for name in ("library", "plan", "source"))
    return digest(*texts, json.dumps([facts["parameters"], facts["constants"]])) if facts else "nothing"
