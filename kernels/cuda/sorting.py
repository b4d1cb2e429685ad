"""Sorting ROWS of EXTENT elements: pieces in shared memory, then runs merged two by two; and searching in sorted rows.

An element has a key, an unsigned integer that orders as wanted, and the place in its row where it stood. Equal keys are
in the order of their places, so no two elements are alike and every order is stable.

A row in memory is its sorted runs one after the other: RUNS of them, HELD elements each but for the last, STRIDE in
all. What is stored has TO_HELD and TO_STRIDE of these.

Names in capitals are what a call gives (calls/sorting.py): besides those above, extents; WIDE, the type of
keys, and SIGNED, one as wide that shuffles take; ELEMENT, which converts what is loaded; MAKE_KEY, lines that make
`key` of an element `x`; STORE, lines that store the `key` and `place` of an element of `row` as number `c` of all.
"""

# ruff: noqa: B018, F821, F841


def pieces(o0):
    """Rows in sorted runs of PIECE elements: a bitonic network of 2 ** STAGES threads each.

    Threads are compared in pairs that lie `step` apart, by shuffles within a warp and through shared memory beyond.
    Behind a row's end are elements that come last, as their places do.
    """
    t = u32(cuda.threadIdx.x)
    piece = u32(u32(u32(cuda.blockIdx.x) * u32(THREADS) + t) // u32(PIECE))
    row = u32(piece // u32(RUNS))
    run = u32(piece % u32(RUNS))
    rank = u32(t % u32(PIECE))
    place = u32(run * u32(PIECE) + rank)
    is_element = row < u32(ROWS) and place < u32(EXTENT)
    key = WIDE(~WIDE(0))
    if is_element:
        x = ELEMENT(o0[u32(row * u32(EXTENT) + place)])
        MAKE_KEY
    keys = cuda.shared.array(THREADS, WIDE)
    places = cuda.shared.array(THREADS, u32)
    for stage in range(STAGES):
        is_up = u32(rank & u32(u32(2) << u32(stage))) == u32(0)
        for k in range(stage + 1):
            step = u32(u32(1) << u32(stage - k))
            other = key
            at = place
            if step < u32(32):
                other = WIDE(cuda.shfl_xor_sync(4294967295, SIGNED(key), i32(step)))
                at = u32(cuda.shfl_xor_sync(4294967295, i32(place), i32(step)))
            else:
                cuda.syncthreads()
                keys[t] = key
                places[t] = place
                cuda.syncthreads()
                other = keys[u32(t ^ step)]
                at = places[u32(t ^ step)]
            is_lower = u32(rank & step) == u32(0)
            is_before = other < key or (other == key and at < place)
            if is_before == (is_lower == is_up):
                key = other
                place = at
    if row < u32(ROWS) and rank < u32(TO_HELD) and u32(run * u32(PIECE) + rank) < u32(EXTENT):
        c = u32(row * u32(TO_STRIDE) + run * u32(TO_HELD) + rank)
        STORE


def merge(o0, o1):
    """Rows with half as many runs: a thread for each of an element's key o0 and place o1.

    Its rank in the merged run is its own and the number of elements of the other run that come before it, those with
    equal keys where that run is the left one. What comes behind the TO_HELD first is dropped.
    """
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(ROWS * STRIDE):
        row = u32(p // u32(STRIDE))
        run = u32(p % u32(STRIDE) // u32(HELD))
        rank = u32(p % u32(STRIDE) % u32(HELD))
        key = o0[p]
        place = o1[p]
        is_right = u32(run & u32(1)) == u32(1)
        other = u32(run ^ u32(1))
        left = u32(0) if other >= u32(RUNS) else (u32(HELD) if other < u32(RUNS - 1) else u32(LAST))
        first = u32(row * u32(STRIDE) + other * u32(HELD))
        low = first
        for _ in range(STEPS):
            if left > u32(0):
                half = u32(u32(left + u32(1)) // u32(2))
                there = o0[u32(low + half - u32(1))]
                if there < key or (there == key and is_right):
                    low = u32(low + half)
                left = u32(left - half)
        rank = u32(rank + low - first)
        if rank < u32(TO_HELD):
            c = u32(row * u32(TO_STRIDE) + u32(run // u32(2)) * u32(TO_HELD) + rank)
            STORE


def search(o0, o1, o2):
    """How many elements of a row of o0 lie before each of its COUNT values o1; equals do where RIGHT."""
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(ROWS * COUNT):
        first = u32(p // u32(COUNT) * u32(EXTENT))
        x = ELEMENT(o1[p])
        MAKE_KEY
        wanted = key
        low = first
        left = u32(EXTENT)
        for _ in range(STEPS):
            half = u32(u32(left + u32(1)) // u32(2))
            x = ELEMENT(o0[u32(low + half - u32(1))])
            MAKE_KEY
            if key < wanted or (key == wanted and RIGHT):
                low = u32(low + half)
            left = u32(left - half)
        o2[p] = i64(u32(low - first))
