from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphc.ir.ranges import IndexRange
from graphc.runtime.argument import Argument

class Binding:
    structure: str
    staging_bytes: int
    def __init__(
        self,
        inputs: Sequence[Argument],
        outputs: Sequence[Argument],
        structure: str,
        protected: Iterable[Any] = (),
        ranges: Iterable[IndexRange] = (),
    ) -> None: ...
    def inputs(self, arrays: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]: ...
    def placed(self, arrays: list[Any]) -> list[Any]: ...
    def outputs(self, out: Any, inputs: list[Any]) -> list[Any]: ...
    def unpack(self, out: Any) -> list[Any]: ...
    def pack(self, arrays: list[Any]) -> Any: ...

def commit(targets: list[Any], values: list[Any]) -> None: ...
