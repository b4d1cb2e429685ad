"""Adding slices at indices along one axis, which were sorted before: results are [OUTER, EXTENT, INNER].

The COUNT keys are indices in range, sorted; places are where in the updates they stood. Names in capitals are what a
call gives (calls/scattering.py): extents; ELEMENT and RESULT convert what is loaded and stored; TOTAL is the
type of sums, which NARROW brings into that of results.
"""

# ruff: noqa: F821


def starts(o0, o1):
    """Of sorted keys how many are below each number up to EXTENT: where the updates of each index start."""
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p <= u32(EXTENT):
        low = u32(0)
        left = u32(COUNT)
        for _ in range(STEPS):
            half = u32(u32(left + u32(1)) // u32(2))
            if o0[u32(low + half - u32(1))] < p:
                low = u32(low + half)
            left = u32(left - half)
        o1[p] = low


def add(o0, o1, o2, o3, o4):
    """o4 is o0 and the updates o1 of each index, in their order; o2 are places, o3 where an index's start.

    A thread for each element of the result goes through all updates of its index: few indices that have many updates
    each keep few threads busy.
    """
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(OUTER * EXTENT * INNER):
        i = u32(p % u32(INNER))
        e = u32(p // u32(INNER) % u32(EXTENT))
        first = u32(p // u32(INNER * EXTENT) * u32(COUNT))
        total = TOTAL(ELEMENT(o0[p]))
        for k in range(i64(o3[e]), i64(o3[u32(e + u32(1))])):
            x = TOTAL(ELEMENT(o1[u32(u32(first + o2[u32(k)]) * u32(INNER) + i)]))
            total = TOTAL(total + x)
        o4[p] = RESULT(NARROW(total))
