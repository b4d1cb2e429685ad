import numpy as np
from numpy.typing import NDArray

from graphc.schedule.rematerialise import Problem

class Simulator:
    peak: int
    excess: int
    cost: float
    position: int
    failed: list[int]
    runs: int
    def __init__(self, problem: Problem) -> None: ...
    def run(self, start: NDArray[np.int32], positions: NDArray[np.int32], limit: int = 0) -> None: ...
    def waiting(self) -> tuple[list[tuple[int, int]], list[int]]: ...
