"""Which graphc is tested: the installed one, with its compiled modules, wherever it is installed.

The checkout's root comes last on the path, for `tests` alone: put first, its bare sources would hide the installed
package. Child processes do not put their working directory first either.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = str(Path(__file__).parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)
os.environ["PYTHONSAFEPATH"] = "1"
