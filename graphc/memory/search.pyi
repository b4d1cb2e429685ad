from typing import Any

import numpy as np

PLACED: int
IMPOSSIBLE: int
EXHAUSTED: int

Integers = np.ndarray[Any, np.dtype[np.int64]]

def best_fit(order: Integers, size: Integers, first: Integers, last: Integers) -> Integers: ...

class Search:
    entries: int
    def __init__(
        self,
        size: Integers,
        duration: np.ndarray[Any, np.dtype[np.float64]],
        first: np.ndarray[Any, np.dtype[np.int32]],
        last: np.ndarray[Any, np.dtype[np.int32]],
    ) -> None: ...
    def find(self, begin: int, end: int, capacity: int, order: bytes, work: int) -> tuple[int, Integers, int]: ...
