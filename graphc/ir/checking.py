"""The switch of the verifiers: with GRAPHC_VERIFY=1 in the environment, what every stage of compiling makes is checked.

The tests turn it on. It makes compiling slower, and finds the pass to blame for a fault.
What has to be right for memory's sake, kernels and the plan that is run, is checked in any case.
"""

from __future__ import annotations

import os

__all__ = ["VARIABLE", "verifies"]

VARIABLE = "GRAPHC_VERIFY"


def verifies() -> bool:
    """Whether every stage is to be checked."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")
