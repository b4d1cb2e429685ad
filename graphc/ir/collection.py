"""The garbage collector's cycle search, paused while a great many records are built that all live on.

Nodes and the records made of them form no cycles worth finding, but every few hundred new ones would make Python look
through all of them again: with a hundred thousand nodes that doubles the time of a pass.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collection_paused"]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the search for cycles; it is as it was before at the end, whatever happens."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()
