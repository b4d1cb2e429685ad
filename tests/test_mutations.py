"""The tool of damage is tested itself: it damages every place, and leaves the document as it was."""

from __future__ import annotations

import copy
import json

from tests.mutations import mutants, places

DOCUMENT = {"a": [1, 2, 3, 4], "b": {"c": "text", "d": True}, "e": 0}


def test_every_kind_of_place_is_damaged() -> None:
    paths = [where for where, _, _ in places(DOCUMENT)]
    assert paths == [".a", ".a[0]", ".a[1]", ".a[3]", ".b", ".b.c", ".b.d", ".e"]
    document = copy.deepcopy(DOCUMENT)
    seen = {what: repr(document) for what in mutants(document)}
    assert document == DOCUMENT
    for path in paths:
        assert any(what.startswith(f"{path} =") for what in seen)
        assert f"{path} deleted" in seen
    assert seen[".a deleted"] == repr({"b": DOCUMENT["b"], "e": 0})
    assert seen[".a[3] and 0 swapped"] == repr({**DOCUMENT, "a": [4, 2, 3, 1]})
    unchanged = [what for what, text in seen.items() if text == repr(DOCUMENT)]
    assert unchanged == [".b.d = True", ".e = 0"]


def test_what_is_damaged_can_be_written() -> None:
    document = copy.deepcopy(DOCUMENT)
    assert all(json.dumps(document) for _ in mutants(document))
