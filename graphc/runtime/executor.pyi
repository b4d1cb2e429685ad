from collections.abc import Iterable
from typing import Any

from graphc.plan.plan import Plan
from graphc.plan.stages import Stage

IMAGE_FORMAT: int
MOST_THREADS: int

def return_freed_memory() -> None: ...
def table_bytes(plan: Plan, code: object = None) -> int: ...

class Executor:
    plan: Plan
    stages: tuple[Stage, ...]
    threads: int
    is_elsewhere: bool
    table_bytes: int
    arena_bytes: int
    scratch_bytes: int
    seed: int
    step: int
    def __init__(
        self,
        plan: Plan,
        parameters: Iterable[Any],
        constants: Iterable[Any],
        table: object,
        threads: int = 1,
        seed: int = 0,
    ) -> None: ...
    def watch(self, before: int, after: int) -> None: ...
    def poison(self) -> None: ...
    def run(self, inputs: list[Any], outputs: list[Any]) -> None: ...
    def run_together(self, inputs: list[Any], outputs: list[Any]) -> None: ...
    def run_poisoned(self, inputs: list[Any], outputs: list[Any], dead: list[list[tuple[int, int]]]) -> None: ...
    def run_profiled(self, inputs: list[Any], outputs: list[Any]) -> list[int]: ...
