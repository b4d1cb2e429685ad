"""Plans as JSON and as text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from graphc.errors import FormatError
from graphc.plan.format import from_json, to_json
from graphc.plan.text import plan_text
from tests.plan.test_verify import diamond, in_place
from tests.runtime.support import chain


@pytest.mark.parametrize("plan", [diamond(), in_place(), chain(7, 33, 8)])
def test_json_loses_nothing(plan: Any) -> None:
    assert from_json(to_json(plan)) == plan


def change(path: list[Any], value: Any) -> str:
    data = json.loads(to_json(in_place()))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this text is not"),
        ("[" * 100_000, "this text is not"),
        ("[]", "not a plan"),
        ("{}", "not a plan"),
        (change(["version"], 1), "version 1"),
        (change(["extra"], 2), "wrong fields: extra"),
        (change(["buffers", 0, "nbytes"], "64"), r"plan.buffers\[0\].nbytes must be of type int"),
        (change(["buffers", 0, "nbytes"], True), "must be of type int"),
        (change(["buffers", 0, "shape"], 16), "shape must be a list"),
        (change(["launches", 1, "in_place", 0], [1, 2, 3]), "must have 2 entries"),
        (change(["launches", 1], 5), r"plan.launches\[1\] must be an object"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_json(text)


TEXT = """\
plan: 3 launches, 4 buffers, 0 tile programs; arena 64 B (lower bound 64 B)

buffer  name  type         where        launches
%0      x     float32[16]  input
%1      y     float32[16]  output
%2      t0    float32[16]  arena 0..64  0..1
%3      t1    float32[16]  arena 0..64  1..2

launch  kernel  writes  reads  tiles  after              computes
0       add     %2      %0     1                         add 0 0 2
1       add     %3      %0 %2  1      0      %3 over %2  add 2 0 3
2       add     %1      %0 %3  1      1                  add 3 0 1"""


def test_text() -> None:
    assert str(in_place()) == plan_text(in_place()) == TEXT
    assert "64 B), scratch 1.50 KiB a thread\n" in plan_text(replace(in_place(), scratch_bytes=1536))
