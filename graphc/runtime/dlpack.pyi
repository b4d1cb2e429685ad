from typing import Any

CPU: int
CUDA: int
CUDA_HOST: int
CUDA_MANAGED: int

def read(capsule: Any) -> tuple[int, int, str, tuple[int, ...], tuple[int, ...] | None, bool]: ...
def lend(owner: Any, address: int, device: int, dtype: str, shape: tuple[int, ...]) -> Any: ...
