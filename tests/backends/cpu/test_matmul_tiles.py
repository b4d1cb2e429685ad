"""How products are cut into tiles: each element once, enough of them to share, within what the caches hold."""

import pytest

from graphc.backends.cpu.matmul import BLOCK_BYTES, PANEL_COLUMNS, SMALL_WORK, TILE_BYTES, Gemm, matmul
from graphc.ir.types import DTYPES, TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView, ceil_div

SHAPES = [
    (64, 784, 512), (128, 512, 10), (784, 128, 512), (128, 1024, 1024), (2048, 384, 1536), (2048, 1536, 384),
    (384, 2048, 1536), (32, 256, 1024), (1024, 1024, 1024), (2048, 384, 65), (100000, 64, 64), (7, 100000, 9),
]  # fmt: skip


def product(rows: int, depth: int, columns: int, form: str = "NN", batch: int = 1, threads: int = 2) -> LibraryCall:
    dtype = DTYPES["float32"]
    a = (depth, 1) if form[0] == "N" else (1, rows)
    b = (columns, 1) if form[1] == "N" else (1, depth)
    views = [
        OperandView(dtype, (batch, rows, depth), (rows * depth, *a)),
        OperandView(dtype, (batch, depth, columns), (depth * columns, *b)),
    ]
    return matmul(views, OperandView.contiguous(TensorType(dtype, (batch, rows, columns))), threads)


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("form", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tiles_cover_the_product(shape: tuple[int, int, int], form: str, threads: int) -> None:
    (rows, depth, columns), call = shape, product(*shape, form, threads=threads)
    gemm = Gemm.of(call)
    tile_rows, tile_columns, depth_at_once = gemm.tile_rows, gemm.tile_columns, gemm.step
    assert call.tiles == ceil_div(rows, tile_rows) * ceil_div(columns, tile_columns)
    assert tile_columns == columns or tile_columns % PANEL_COLUMNS == 0
    assert 0 < depth_at_once <= max(depth, 1)
    if 2 * rows * columns * depth > 2 * threads * SMALL_WORK and min(rows, columns) > 1000:
        assert call.tiles >= (2 * threads if threads > 1 else 1)


def test_tiles_fit_the_second_cache() -> None:
    for shape in [(2048, 384, 1536), (1024, 1024, 1024), (384, 2048, 1536)]:
        call = product(*shape)
        gemm = Gemm.of(call)
        tile_rows, tile_columns, depth = gemm.tile_rows, gemm.tile_columns, gemm.step
        assert 4 * tile_rows * tile_columns <= TILE_BYTES
        assert 4 * tile_columns * depth <= BLOCK_BYTES


def test_small_products_of_a_stack_share_a_tile() -> None:
    call = product(4, 5, 6, batch=100)
    assert call.tiles == 1
    assert Gemm.of(call).tile_batches == 100
