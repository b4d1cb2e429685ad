"""Text of the user's in text that is compiled: what a name looks like where it stands in a comment.

A name is anything: a string of the user's, or part of a file that somebody sent. `plain` is the only way from one to
generated text. Tensors are otherwise called by ordinals, and lines of the user's code are not printed at all.
"""

from __future__ import annotations

import re

__all__ = ["MOST", "plain"]

MOST = 60  # characters of a name
_OTHERS = re.compile(r"[^A-Za-z0-9_.]+")


def plain(name: str) -> str:
    """`name` with each run of characters other than ASCII letters, digits, `_` and `.` as one `?`; the first of it.

    Whatever comes before and after: nothing here ends a comment or begins one, splices lines, or is half of a
    trigraph, as no two `?` stand side by side and printers print none.

    >>> plain("0.weight"), plain("a*\\\\ b")
    ('0.weight', 'a?b')
    """
    return _OTHERS.sub("?", name[: MOST + 1])[:MOST] + ("..." if len(name) > MOST else "")
