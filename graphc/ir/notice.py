"""Warnings that a process gives once: at the user's line, and not again however often it happens."""

from __future__ import annotations

import warnings

from graphc.errors import GraphcWarning
from graphc.ir.location import capture

__all__ = ["warn_once"]

_given: set[str] = set()  # the subjects this process has been warned of


def warn_once(subject: str, message: str) -> None:
    """Warn with a GraphcWarning, unless this process has been warned of `subject` before."""
    if subject in _given:
        return
    _given.add(subject)
    place = capture()
    filename, line = (place.filename, place.line) if place else ("graphc", 0)
    warnings.warn_explicit(message, GraphcWarning, filename, line)
