"""Which graphc is tested: the installed one, with its compiled modules, wherever it is installed.

The checkout's root comes last on the path, for `tests` alone: put first, its bare sources would hide the installed
package. Child processes do not put their working directory first either.

"auto" is the Cython engine here, which compiles nothing; tests of the C engine ask for it, and find its cache empty.
What every stage of compiling makes is verified.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = str(Path(__file__).parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)
os.environ["PYTHONSAFEPATH"] = "1"
os.environ.setdefault("GRAPHC_BACKEND", "cython")
os.environ.setdefault("GRAPHC_VERIFY", "1")
_CACHE = tempfile.TemporaryDirectory(prefix="graphc-tests-")
os.environ["GRAPHC_CACHE"] = _CACHE.name
