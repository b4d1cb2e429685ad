"""`python -m benchmarks contractions`: einsums of every kind beside NumPy's and PyTorch's, on one thread.

One table, `TABLE`, of values and gradients: the batch in front, in the middle and at the end of operands and result;
several summed axes; outer products, diagonals; tiny matrices in large batches and the reverse. Contenders take turns in
one process; times are those of the thread's processor, and ratios of the least ones. NumPy runs with or without
`optimize`, whichever is faster; its gradients are einsums written out and left out where they are none (of a diagonal).
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import geometric_mean
from typing import Any

import numpy as np
from rich.console import Console

import graphc as gx
from benchmarks.machine import cores
from benchmarks.sheet import Sheet

__all__ = ["TABLE", "Case", "contenders", "main", "measured"]

Array = np.ndarray[Any, Any]
Run = Callable[[], Sequence[Any]]
BATCH_SECONDS = 1e-3  # runs are timed in bundles of about so long


@dataclass(frozen=True)
class Case:
    """An einsum and the extents of its labels."""

    subscripts: str
    extents: Mapping[str, int]

    @property
    def title(self) -> str:
        return f"{self.subscripts}  " + " ".join(f"{label}{n}" for label, n in self.extents.items())

    @property
    def terms(self) -> list[str]:
        """The labels of each operand, and of the result."""
        left, _, right = self.subscripts.partition("->")
        return [*left.split(","), right]

    def arrays(self, dtype: str) -> list[Array]:
        """Random operands, and a cotangent for the result."""
        rng = np.random.default_rng(0)
        shapes = [tuple(self.extents[label] for label in term) for term in self.terms]
        return [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]

    def adjoints(self) -> list[str] | None:
        """The einsums that are the gradients, each of the cotangent and the other operands; None where one is none."""
        *terms, result = self.terms
        found = []
        for i, term in enumerate(terms):
            others = [result, *terms[:i], *terms[i + 1 :]]
            if len(set(term)) < len(term) or not set(term) <= set("".join(others)):
                return None
            found.append(",".join(others) + "->" + term)
        return found


def _case(text: str) -> Case:
    subscripts, *extents = text.split()
    return Case(subscripts, {part[0]: int(part[1:]) for part in extents})


TABLE = tuple(
    _case(line)
    for line in """
    ijk,mik->mij     i1000 j2 k2 m2
    ijk,mik->mij     i1000 j8 k8 m8
    ijk,mik->mij     i100 j64 k64 m64
    bij,bjk->bik     b1000 i4 j4 k4
    bij,bjk->bik     b10000 i3 j3 k3
    bij,bjk->bik     b16 i128 j128 k128
    ijb,jkb->ikb     b1000 i4 j4 k4
    ijb,jkb->ikb     b16 i128 j128 k128
    bij,jbk->ibk     b64 i32 j32 k32
    ibj,bjk->kib     b64 i32 j32 k32
    ijb,bjk->ikb     b256 i16 j16 k16
    ibj,jbk->ikb     b1000 i8 j8 k8
    bij,bj->bi       b1000 i4 j4
    bij,bj->bi       b64 i128 j128
    ijb,jb->ib       b1000 i8 j8
    bi,bi->b         b10000 i8
    ijk,jkl->il      i64 j32 k32 l64
    ijk,kjl->il      i64 j32 k32 l64
    ijk,jli->kl      i64 j32 k32 l64
    aibj,jcia->bc    a16 b32 c32 i16 j16
    i,j->ij          i1000 j1000
    bi,bj->bij       b1000 i8 j8
    ib,jb->jib       b64 i32 j64
    ii->             i1000
    ii->i            i1000
    iij,jk->ik       i64 j64 k64
    ijk->kj          i64 j64 k64
    ik,jk->ij        i256 j256 k256
    ki,kj->ij        i256 j256 k256
    ki,jk->ij        i256 j256 k256
    bhqd,bhkd->bhqk  b4 h4 q64 k64 d32
    bqhd,bkhd->bhqk  b4 h4 q64 k64 d32
    bhqk,bkhd->bqhd  b4 h4 q64 k64 d32
    ij,jk,ik->       i128 j128 k128
    bi,ijk,bk->bj    b64 i32 j32 k32
    bic,co->bio      b32 i64 c64 o64
    """.strip().splitlines()
)


# Contenders --------------------------------------------------------------------------------------------------------
def contenders(case: Case, dtype: str, gradients: bool) -> dict[str, Run]:
    """What computes the case's value, or its gradients, on each engine that is there."""
    arrays = case.arrays(dtype)
    found = {f"graphc-{name}": _graphc(case, arrays, gradients, name) for name in ("c", "cython")}
    adjoints = case.adjoints()
    if not gradients or adjoints is not None:
        found["numpy"] = _numpy(case, arrays, adjoints if gradients else None)
    if find_spec("torch"):
        found["torch"] = _torch(case, arrays, gradients)
    return found


def _graphc(case: Case, arrays: Sequence[Array], gradients: bool, backend: str) -> Run:
    operands = [gx.input(f"x{i}", array.shape, array.dtype.name) for i, array in enumerate(arrays[:-1])]
    cotangent = gx.input("g", arrays[-1].shape, arrays[-1].dtype.name)
    y = gx.einsum(case.subscripts, *operands)
    if not gradients:
        program = gx.compile(operands, [y], backend=backend, threads=1)
        return lambda: program(*arrays[:-1])
    program = gx.compile([*operands, cotangent], gx.vjp([y], operands, [cotangent]), backend=backend, threads=1)
    return lambda: program(*arrays)


def _numpy(case: Case, arrays: Sequence[Array], adjoints: Sequence[str] | None) -> Run:
    *operands, cotangent = arrays
    if adjoints is None:
        return _faster(lambda way: [np.asarray(np.einsum(case.subscripts, *operands, optimize=way))])
    others = [[cotangent, *operands[:i], *operands[i + 1 :]] for i in range(len(operands))]
    works = list(zip(adjoints, others, strict=True))
    runs = [_faster(lambda way, text=text, x=x: [np.einsum(text, *x, optimize=way)]) for text, x in works]
    return lambda: [part for run in runs for part in run()]


def _faster(run: Callable[[bool], list[Array]]) -> Run:
    """`run` with True or False, whichever takes less."""
    run(True)
    _, way = min((_timed(lambda way=way: run(way), 1), way) for _ in range(3) for way in (False, True))
    return lambda: run(way)


def _torch(case: Case, arrays: Sequence[Array], gradients: bool) -> Run:
    import torch

    *operands, cotangent = (torch.from_numpy(array) for array in arrays)
    if not gradients:
        return lambda: [torch.einsum(case.subscripts, *operands)]
    leaves = [operand.requires_grad_() for operand in operands]
    return lambda: torch.autograd.grad(torch.einsum(case.subscripts, *leaves), leaves, cotangent)


# Measuring ---------------------------------------------------------------------------------------------------------
def measured(case: Case, dtype: str, gradients: bool, rounds: int) -> dict[str, list[float]]:
    """Seconds of a run in each round, by contender. Raises AssertionError where one computes something else."""
    runs = contenders(case, dtype, gradients)
    results = {name: [np.asarray(part) for part in run()] for name, run in runs.items()}
    first = next(iter(results.values()))
    for name, parts in results.items():
        for part, wanted in zip(parts, first, strict=True):
            scale = max(1.0, float(np.abs(wanted).max(initial=0)))
            assert np.allclose(part, wanted, atol=scale * (1e-4 if dtype == "float32" else 1e-10)), (case, name)
    bundles = {name: max(1, int(BATCH_SECONDS / min(_timed(run, 1) for _ in range(3)))) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name in list(runs)[:: -1 if turn % 2 else 1]:
            times[name].append(_timed(runs[name], bundles[name]))
    return times


def _timed(run: Run, count: int) -> float:
    begin = time.thread_time()
    for _ in range(count):
        run()
    return (time.thread_time() - begin) / count


def _rows(
    cases: Sequence[Case], dtypes: Sequence[str], rounds: int
) -> Iterator[tuple[str, str, dict[str, list[float]]]]:
    for case in cases:
        for dtype in dtypes:
            for gradients in (False, True):
                kind = f"{dtype.replace('float', 'f')} {'gradients' if gradients else 'value'}"
                yield case.title, kind, measured(case, dtype, gradients, rounds)


OURS, PEERS = ("graphc-c", "graphc-cython"), ("numpy", "torch")


def _ratio(times: Mapping[str, Sequence[float]], own: str, peer: str) -> float:
    """How much longer `own` takes than `peer`; NaN where that was not measured."""
    return min(times[own]) / min(times[peer]) if peer in times else math.nan


def _cells(title: str, kind: str, times: Mapping[str, Sequence[float]]) -> list[str]:
    ratios = [_ratio(times, own, peer) for own in OURS for peer in PEERS]
    return [title, kind, f"{min(times['graphc-c']) * 1e6:,.1f}", *("" if math.isnan(r) else f"{r:.2f}" for r in ratios)]


def _notes(all_times: Sequence[Mapping[str, Sequence[float]]]) -> Iterator[str]:
    for own in OURS:
        for peer in PEERS:
            ratios = [ratio for times in all_times if not math.isnan(ratio := _ratio(times, own, peer))]
            if ratios:
                slow = sum(ratio > 1.2 for ratio in ratios)
                yield (
                    f"{own} / {peer}: geometric mean {geometric_mean(ratios):.2f}, largest {max(ratios):.2f}, "
                    f"{slow} of {len(ratios)} above 1.2"
                )


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks contractions", description="Einsums beside peers'.")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of each contender (9)")
    parser.add_argument("--dtypes", default="float64,float32", metavar="NAME,NAME", help="(float64,float32)")
    parser.add_argument("--only", default="", metavar="TEXT", help="einsums whose title contains this")
    options = parser.parse_args(arguments)
    cases = [case for case in TABLE if options.only in case.title]
    os.sched_setaffinity(0, cores(1))
    with _one_thread():
        console, rows, times = Console(width=max(Console().width, 120)), [], []
        with console.status("measuring"):
            for title, kind, of_one in _rows(cases, options.dtypes.split(","), options.rounds):
                rows.append(_cells(title, kind, of_one))
                times.append(of_one)
    columns = ["einsum", "", "c, µs", "c/numpy", "c/torch", "cython/numpy", "cython/torch"]
    console.print(Sheet("contractions", columns, rows, list(_notes(times)), left=2))
    return 0


def _one_thread() -> Any:
    """Peers on one thread as well: NumPy's BLAS where threadpoolctl is installed, PyTorch."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    if find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_limits

        return threadpool_limits(1)
    return nullcontext()
