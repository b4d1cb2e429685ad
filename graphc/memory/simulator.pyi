from collections.abc import Iterable

from graphc.memory.rematerialise import Problem

class Simulator:
    peak: int
    excess: int
    cost: float
    position: int
    def __init__(self, problem: Problem) -> None: ...
    @property
    def failed(self) -> list[int]: ...
    def run(self, choice: Iterable[tuple[int, int]], limit: int = 0) -> None: ...
    def waiting(self) -> tuple[list[tuple[int, int]], list[int]]: ...
