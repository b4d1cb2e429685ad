"""Attention without the matrix of its weights: softmax(scale q kᵀ + mask) v, and its gradients, tile by tile.

`forward` and `query_grad` have a block for QUERIES queries, which goes through the tiles of KEYS keys; `key_grad` has
one for the keys and goes through the queries, so that nobody adds to what another block has. PARTS blocks share the
columns of a result that is wide. Queries that see no key have 0, top -inf and total 0.

A block has 128 threads, x of 16 and y of 8. The scores of a tile are in registers: a thread has those of the queries
y, y + 8, ..., of which there are ROWS, and the keys x, x + 16, ..., EACH. So the softmax of a query goes across the 16
lanes of half a warp. Weights then go to shared memory, [QUERIES, KEYS] in rows of STRIDE, to be multiplied by what is
as wide as the result. Factors come to shared memory in slices, padded by zeros, in rows that are two elements
longer than what they hold: neither writing, along whichever axis is contiguous, nor reading has lanes of one bank. The
scale is part of q.

`begin`, `products`, `softmax`, `slopes`, `spread`, `accumulate` and `write` are parts: their bodies stand where a
kernel names them (calls/attention.py). Names in capitals are what a call gives: extents TQ TK, SUM the type that all is
computed in, SEEN whether query `row` sees `key`, MASKING lines that add the mask to `s`, STARTS lines that say where
operands of `batch` begin; an element is that of `row` and `column`. HERE asks whether a thread has something to load,
THERE whether an element is there: no question where tiles are always whole, so that their loads do not wait for
branches.
"""

# ruff: noqa: B018, F821, F841


def forward(q, k, v, outputs, tops, totals):
    """Online softmax: `top` and `total` of the keys so far, by which `sums` of weights and values are scaled."""
    BEGIN
    first_query = u32(u32(u32(TILES - 1) - tile_of_block) * u32(QUERIES))
    top = cuda.local.array(ROWS, SUM)
    total = cuda.local.array(ROWS, SUM)
    sums = cuda.local.array(ROWS * COLUMNS, SUM)
    for i in range(ROWS):
        top[i] = SUM(-math.inf)
        total[i] = SUM(0)
    for i in range(ROWS * COLUMNS):
        sums[i] = SUM(0)
    for tile in range(KEY_TILES):
        first_key = u32(u32(tile) * u32(KEYS))
        if TILE_SEEN:
            SCORES
            SOFTMAX
            ACCUMULATE
    for i in range(ROWS):
        divisor = SUM(1) if total[i] == SUM(0) else total[i]
        for j in range(COLUMNS):
            sums[i * COLUMNS + j] = DIVIDE(sums[i * COLUMNS + j], divisor)
        row = u32(first_query + y + u32(i * 8))
        if row < u32(TQ) and x == u32(0) and part == u32(0):
            tops[TOP_INDEX] = top[i]
            totals[TOTAL_INDEX] = total[i]
    WRITE


def query_grad(q, k, v, g, tops, totals, deltas, q_grad):
    BEGIN
    first_query = u32(u32(u32(TILES - 1) - tile_of_block) * u32(QUERIES))
    slope = cuda.local.array(ROWS * EACH, SUM)
    sums = cuda.local.array(ROWS * COLUMNS, SUM)
    for i in range(ROWS * COLUMNS):
        sums[i] = SUM(0)
    for tile in range(KEY_TILES):
        first_key = u32(u32(tile) * u32(KEYS))
        if TILE_SEEN:
            SCORES
            WEIGHT_GRADIENTS
            SLOPES
            SPREAD_SLOPES
            ACCUMULATE
    for i in range(ROWS * COLUMNS):
        sums[i] = SUM(sums[i] * SCALE)
    WRITE


def key_grad(q, k, v, g, tops, totals, deltas, k_grad, v_grad):
    BEGIN
    first_key = u32(tile_of_block * u32(KEYS))
    slope = cuda.local.array(ROWS * EACH, SUM)
    k_sums = cuda.local.array(2 * EACH * K_COLUMNS, SUM)
    v_sums = cuda.local.array(2 * EACH * V_COLUMNS, SUM)
    for i in range(2 * EACH * K_COLUMNS):
        k_sums[i] = SUM(0)
    for i in range(2 * EACH * V_COLUMNS):
        v_sums[i] = SUM(0)
    for tile in range(QUERY_TILES):
        first_query = u32(u32(tile) * u32(QUERIES))
        if TILE_SEEN:
            SCORES
            WEIGHT_GRADIENTS
            SLOPES
            SPREAD_SLOPES
            ACCUMULATE_K
            SPREAD_WEIGHTS
            ACCUMULATE_V
    WRITE_K
    WRITE_V


# Parts ---------------------------------------------------------------------------------------------------------------
def begin():
    """Which thread this is, what its block has, one of TILES, and the memory of both."""
    t = u32(cuda.threadIdx.x)
    block = u32(cuda.blockIdx.x)
    part = u32(block % u32(PARTS))
    tile_of_block = u32(block // u32(PARTS) % u32(TILES))
    batch = u32(block // u32(PARTS * TILES))
    x = u32(t % u32(16))
    y = u32(t // u32(16))
    STARTS
    weights = cuda.shared.array(QUERIES * STRIDE, SUM)
    slices = cuda.shared.array(SLICES, SUM)
    left = cuda.local.array(LEFT, SUM)
    score = cuda.local.array(ROWS * EACH, SUM)


def spread():
    """A tile of SUMS, of which a thread has some, to shared memory in the place of weights."""
    for i in range(ROWS):
        for j in range(EACH):
            weights[u32(u32(y + u32(i * 8)) * u32(STRIDE) + x + u32(j * 16))] = SUMS[i * EACH + j]


def products():
    """SUMS of a tile: over the DEPTH, in STEPS of SLICE, the products of A, the queries', and B, the keys'."""
    for i in range(ROWS * EACH):
        SUMS[i] = SUM(0)
    for step in range(STEPS):
        for i in range(A_LOADS):
            e = u32(t + u32(i) * u32(128))
            at = u32(e % u32(SLICE)) if A_ALONG else u32(e // u32(QUERIES))
            place = u32(e // u32(SLICE)) if A_ALONG else u32(e % u32(QUERIES))
            if A_HERE:
                row = u32(first_query + place)
                column = u32(u32(step) * u32(SLICE) + at)
                value = SUM(0)
                if A_THERE:
                    value = A_VALUE
                slices[u32(at * u32(QUERIES + 2) + place)] = value
        for i in range(B_LOADS):
            e = u32(t + u32(i) * u32(128))
            at = u32(e % u32(SLICE)) if B_ALONG else u32(e // u32(KEYS))
            place = u32(e // u32(SLICE)) if B_ALONG else u32(e % u32(KEYS))
            if B_HERE:
                row = u32(first_key + place)
                column = u32(u32(step) * u32(SLICE) + at)
                value = SUM(0)
                if B_THERE:
                    value = B_VALUE
                slices[u32(u32(SLICE * (QUERIES + 2)) + at * u32(KEYS + 2) + place)] = value
        cuda.syncthreads()
        for n in range(SLICE):
            for i in range(ROWS):
                left[i] = slices[u32(u32(n) * u32(QUERIES + 2) + y + u32(i * 8))]
            for j in range(EACH):
                right = slices[u32(u32(SLICE * (QUERIES + 2)) + u32(n) * u32(KEYS + 2) + x + u32(j * 16))]
                for i in range(ROWS):
                    SUMS[i * EACH + j] = SUM(SUMS[i * EACH + j] + left[i] * right)
        cuda.syncthreads()


def softmax():
    """Weights exp(score - top) of a tile, with the largest score so far; what came before is brought to that."""
    for i in range(ROWS):
        row = u32(first_query + y + u32(i * 8))
        best = top[i]
        for j in range(EACH):
            key = u32(first_key + x + u32(j * 16))
            s = SUM(-math.inf)
            if SEEN:
                s = score[i * EACH + j]
                MASKING
            score[i * EACH + j] = s
            best = LARGER(best, s)
        for n in range(4):
            best = LARGER(best, cuda.shfl_xor_sync(4294967295, best, i32(i32(8) >> i32(n))))
        base = SUM(0) if best == SUM(-math.inf) else best
        decay = EXP(SUM(top[i] - base))
        top[i] = best
        part_sum = SUM(0)
        for j in range(EACH):
            s = EXP(SUM(score[i * EACH + j] - base))
            part_sum = SUM(part_sum + s)
            weights[u32(u32(y + u32(i * 8)) * u32(STRIDE) + x + u32(j * 16))] = s
        for n in range(4):
            part_sum = SUM(part_sum + cuda.shfl_xor_sync(4294967295, part_sum, i32(i32(8) >> i32(n))))
        total[i] = SUM(total[i] * decay + part_sum)
        for j in range(COLUMNS):
            sums[i * COLUMNS + j] = SUM(sums[i * COLUMNS + j] * decay)


def slopes():
    """Scores become the weights, exp(score - top) / total, their gradients (`slope`) the gradients of the scores."""
    for i in range(ROWS):
        row = u32(first_query + y + u32(i * 8))
        base = SUM(0)
        share = SUM(0)
        delta = SUM(0)
        if QUERY_THERE:
            base = tops[TOP_INDEX]
            base = SUM(0) if base == SUM(-math.inf) else base
            share = totals[TOTAL_INDEX]
            share = SUM(0) if share == SUM(0) else DIVIDE(SUM(1), share)
            delta = deltas[DELTA_INDEX]
        for j in range(EACH):
            key = u32(first_key + x + u32(j * 16))
            weight = SUM(0)
            if SEEN:
                s = score[i * EACH + j]
                MASKING
                weight = SUM(EXP(SUM(s - base)) * share)
            score[i * EACH + j] = weight
            slope[i * EACH + j] = SUM(weight * (slope[i * EACH + j] - delta))


def accumulate():
    """SUMS of a tile's rows, of which a thread has HEIGHT, and of WIDTH columns: weights times VALUE.

    They go over the other axis of the tile, from FIRST on, in STEPS of SLICE; ALONG and ACROSS are the steps of
    weights along that axis and along rows.
    """
    for step in range(STEPS):
        for i in range(LOADS):
            e = u32(t + u32(i) * u32(128))
            place = u32(e % u32(WIDTH)) if ALONG_COLUMNS else u32(e // u32(SLICE))
            at = u32(e // u32(WIDTH)) if ALONG_COLUMNS else u32(e % u32(SLICE))
            if HERE:
                row = u32(FIRST + u32(u32(step) * u32(SLICE)) + at)
                column = u32(part * u32(WIDTH) + place)
                value = SUM(0)
                if THERE:
                    value = VALUE
                slices[u32(at * u32(WIDTH + 2) + place)] = value
        cuda.syncthreads()
        for n in range(SLICE):
            for i in range(HEIGHT):
                at = u32(u32(step) * u32(SLICE) + u32(n))
                left[i] = weights[u32(at * u32(ALONG) + u32(y + u32(i * 8)) * u32(ACROSS))]
            for j in range(COLUMNS):
                right = slices[u32(u32(n) * u32(WIDTH + 2) + x + u32(j * 16))]
                for i in range(HEIGHT):
                    SUMS[i * COLUMNS + j] = SUM(SUMS[i * COLUMNS + j] + left[i] * right)
        cuda.syncthreads()


def write():
    """SUMS to RESULT, rows from FIRST on."""
    for i in range(HEIGHT):
        row = u32(FIRST + y + u32(i * 8))
        for j in range(COLUMNS):
            column = u32(u32(part * u32(WIDTH)) + x + u32(j * 16))
            if THERE:
                RESULT[RESULT_INDEX] = SUMS[i * COLUMNS + j]
