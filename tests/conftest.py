"""Which graphc is tested: the installed one, with its compiled modules, wherever it is installed.

The checkout's root comes last on the path, for `tests` alone: put first, its bare sources would hide the installed
package. Child processes do not put their working directory first either.

"auto" is the Cython engine here, which compiles nothing; tests of the C engine ask for it, and find its cache empty.
Where Python is not to write bytecode, child processes share what they compile in a folder that goes with the session.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)
os.environ["PYTHONSAFEPATH"] = "1"
os.environ.setdefault("GRAPHC_BACKEND", "cython")
_CACHE, _BYTECODE = (tempfile.TemporaryDirectory(prefix="graphc-tests-") for _ in range(2))
os.environ["GRAPHC_CACHE"] = _CACHE.name


def pytest_configure(config: pytest.Config) -> None:
    """See to it that no start of a child compiles all of graphc; xdist's workers go by what is installed."""
    if sys.dont_write_bytecode and not getattr(config.option, "numprocesses", None):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = _BYTECODE.name
