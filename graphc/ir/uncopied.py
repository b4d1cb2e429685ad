"""What refuses to be copied and pickled: objects whose copies would share arrays with them, or lose them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from graphc.errors import GraphError, with_location
from graphc.ir.location import capture

__all__ = ["Uncopied"]


class Uncopied(ABC):
    """Base of classes whose objects raise GraphError when they are copied or pickled."""

    @abstractmethod
    def _uncopied(self, what: str) -> str:
        """That this object cannot be `what`, "copied" or "pickled", and what to do instead."""

    def __copy__(self) -> Any:
        raise self._refusal("copied")

    def __deepcopy__(self, memo: Any) -> Any:
        raise self._refusal("copied")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise self._refusal("pickled")

    def _refusal(self, what: str) -> GraphError:
        return with_location(GraphError(self._uncopied(what)), capture())
