"""Parts of a program's text, about equally dear to compile, that several compilers can work on side by side.

The text stays one file. Compiled as it is, all of it counts and its functions are static. With -DGC_PARTS=MASK only the
parts whose bits are set count, what other parts call is hidden instead of static, and the objects are linked together.
Library kernels of one family stay in one part: they share what costs most.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from graphc.toolchain.shares import share_out

__all__ = ["PARTS", "FunctionText", "cut", "in_parts"]

PARTS = """\
/* Compilers may share the work: with -DGC_PARTS=MASK only the parts whose bits are set are compiled, to be linked. */
#ifdef GC_PARTS
#define GC_PART(n) ((GC_PARTS) >> (n) & 1)
#define GC_ACROSS __attribute__((visibility("hidden")))
#else
#define GC_PART(n) 1
#define GC_ACROSS static
#endif
"""

# Weights are about characters of a plain loop, of which a compiler takes 30 a millisecond.
LEAST = 12_000  # weight of a part that is worth a process
MOST = 4  # parts
DRIVER = 5_000
CALL = 1_200
ELEMENTARY = 1_500  # an elementary function that is inlined
FAMILIES = {"gemm.h": 15_000, "gemv.h": 3_000, "attention.h": 14_000, "conv.h": 15_000}  # what is shared
_ELEMENTARY = re.compile(r"\bgc_(?:exp|log|sin|cos|tan|sigmoid|erf|gelu|pow|soft)\w*\(")


@dataclass(frozen=True)
class FunctionText:
    """The text of a function and its helpers; `family` is the header of a library kernel, or "" for a printed loop."""

    name: str
    text: str
    family: str = ""

    @cached_property
    def weight(self) -> int:
        """How dear it is to compile, without what its family shares."""
        if self.family:
            return CALL
        code = self.text.partition("*/")[2]
        return len(code) + ELEMENTARY * len(_ELEMENTARY.findall(code))


def cut(functions: Sequence[FunctionText], driver: int = DRIVER) -> list[tuple[int, list[FunctionText]]]:
    """The weights of parts and what belongs to each, in order. One where few do.

    The first has the table of launches and, in a standalone program, the code that runs them: that weighs `driver`.
    """
    families: dict[str, list[FunctionText]] = defaultdict(list)
    for function in functions:
        families[function.family or function.name].append(function)
    weights = [sum(f.weight for f in members) + FAMILIES.get(name, 0) for name, members in families.items()]
    count = min(MOST, max(1, (sum(weights) + driver) // LEAST))
    shares = share_out([*weights, driver], count)
    groups = list(families.values())
    first = next(share for share in shares if len(groups) in share)
    parts = []
    for share in [first, *(share for share in shares if share is not first)]:
        chosen = {function.name for item in share if item < len(groups) for function in groups[item]}
        weight = sum(weights[item] if item < len(groups) else driver for item in share)
        parts.append((weight, [function for function in functions if function.name in chosen]))
    return parts


def in_parts(parts: Sequence[Sequence[FunctionText]], across: Sequence[str]) -> str:
    """The text of all parts; the functions called `across` are known to every part."""
    prototypes, known = [], set(across)
    found = re.compile(r"^static ((?:__attribute__\(\(.*?\)\) )?void (\w+)\(.*?\)) \{$", re.MULTILINE)

    def shared(match: re.Match[str]) -> str:
        if match[2] not in known:
            return match[0]
        prototypes.append(f"GC_ACROSS {re.sub(r'__attribute__[(][(].*?[)][)] ', '', match[1])};")
        return f"GC_ACROSS {match[1]} {{"

    texts = [
        "\n".join([f"#if GC_PART({number})", *(found.sub(shared, f.text) for f in part), f"#endif /* part {number} */"])
        for number, part in enumerate(parts)
    ]
    return "\n\n".join(["\n".join(prototypes), *texts])
