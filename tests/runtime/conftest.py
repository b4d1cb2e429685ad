"""The test kernels, compiled once."""

import pytest

from tests.runtime.support import COMPILER, HERE, compile_c, table_of


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The capsule with the kernels of kernels.c."""
    if COMPILER is None:
        pytest.skip("needs a C compiler")
    return table_of(
        compile_c(HERE / "kernels.c", tmp_path_factory.mktemp("kernels") / "kernels.so", "-shared", "-fPIC")
    )
