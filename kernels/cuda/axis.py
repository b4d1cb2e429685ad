"""Along one axis: positions of extremes, running sums and products, gathering. Arrays are [outer, EXTENT, INNER].

Names in capitals are what a call gives (calls/axes.py): extents, and how many LINES along the axis there are;
ELEMENT and RESULT convert what is loaded and stored; TOTAL is the type of what runs along a line, which NARROW brings
into that of results.
"""

# ruff: noqa: F821, F841


def extreme(o0, o1):
    """The position of the first element that none is better than; LANES threads go along a line.

    IS_BETTER says whether `x` is better than `best`, IS_EQUAL whether they are alike.
    """
    t = u32(cuda.threadIdx.x)
    line = u32(u32(u32(cuda.blockIdx.x) * u32(256) + t) // u32(LANES))
    lane = u32(t % u32(LANES))
    is_line = line < u32(LINES)
    line = line if is_line else u32(LINES - 1)
    start = u32(line // u32(INNER) * u32(EXTENT * INNER) + line % u32(INNER))
    place = i64(lane) if lane < u32(EXTENT) else i64(0)
    best = ELEMENT(o0[u32(start + u32(place) * u32(INNER))])
    for k in range(STEPS):
        r = u32(u32(k) * u32(LANES) + lane)
        if r < u32(EXTENT):
            x = ELEMENT(o0[u32(start + r * u32(INNER))])
            if IS_BETTER:
                best = x
                place = i64(r)
    for k in range(SHUFFLES):
        x = cuda.shfl_xor_sync(4294967295, best, i32(i32(1) << i32(k)))
        at = cuda.shfl_xor_sync(4294967295, place, i32(i32(1) << i32(k)))
        if IS_BETTER or (IS_EQUAL and at < place):
            best = x
            place = at
    if is_line and lane == u32(0):
        o1[line] = place


def running(o0, o1):
    """What comes of a line's elements up to each: NEXT of the `total` so far and the element `x`."""
    line = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if line < u32(LINES):
        start = u32(line // u32(INNER) * u32(EXTENT * INNER) + line % u32(INNER))
        total = TOTAL(FIRST)
        for k in range(EXTENT):
            r = u32(u32(EXTENT - 1) - u32(k)) if REVERSED else u32(k)
            x = TOTAL(ELEMENT(o0[u32(start + r * u32(INNER))]))
            total = TOTAL(NEXT)
            o1[u32(start + r * u32(INNER))] = RESULT(NARROW(total))


def recurrence(o0, o1, o2):
    """o1 plus o0 times what came before, along a line; from the end, o0 of the place before."""
    line = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if line < u32(LINES):
        start = u32(line // u32(INNER) * u32(EXTENT * INNER) + line % u32(INNER))
        total = f64(0)
        for k in range(EXTENT):
            r = u32(u32(EXTENT - 1) - u32(k)) if REVERSED else u32(k)
            f = u32(r + u32(1)) if REVERSED else r
            link = f64(0)
            if k > 0:
                link = f64(ELEMENT(o0[u32(start + f * u32(INNER))]))
            x = o1[u32(start + r * u32(INNER))]
            total = x + link * total if link != f64(0) else x
            o2[u32(start + r * u32(INNER))] = total


def take(o0, o1, o2):
    """The slices of o0 at COUNT indices; those out of range are the nearest, negative ones count from the end."""
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(SIZE):
        i = u32(p % u32(INNER))
        outer = u32(p // u32(INNER * COUNT))
        at = i64(o1[u32(p // u32(INNER) % u32(COUNT))])
        at = i64(at + i64(EXTENT)) if at < i64(0) else at
        at = i64(0) if at < i64(0) else (i64(EXTENT - 1) if at > i64(EXTENT - 1) else at)
        o2[p] = o0[u32(outer * u32(EXTENT * INNER) + u32(at) * u32(INNER) + i)]
