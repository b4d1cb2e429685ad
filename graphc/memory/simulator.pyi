from collections.abc import Iterable

from graphc.memory.numbers import Position, ValueNumber
from graphc.memory.rematerialise import Problem

class Simulator:
    peak: int
    excess: int
    cost: float
    position: Position
    def __init__(self, problem: Problem) -> None: ...
    @property
    def failed(self) -> list[ValueNumber]: ...
    def run(self, choice: Iterable[tuple[ValueNumber, Position]], limit: int = 0) -> None: ...
    def waiting(self) -> tuple[list[tuple[ValueNumber, Position]], list[ValueNumber]]: ...
