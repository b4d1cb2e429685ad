"""Pooling over the planes of x[PLANES, H, W], whose results have y[PLANES, OUT_H, OUT_W].

Names in capitals are what a call gives (calls/poolings.py): extents, windows KH KW, strides, dilations, padding
TOP LEFT before and whether it counts; ELEMENT and RESULT convert what is loaded and stored, SUM is the type of sums.
EPILOGUE are lines that finish what is `stored`, the element at position `p` of the result.
"""

# ruff: noqa: B018, F821


def largest(o0, o1):
    """Of each window the first largest element, or its position: WHAT."""
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(SIZE):
        plane = u32(p // u32(OUT_H * OUT_W) * u32(H * W))
        top = i32(i32(p // u32(OUT_W) % u32(OUT_H)) * i32(STRIDE_H) - i32(TOP))
        left = i32(i32(p % u32(OUT_W)) * i32(STRIDE_W) - i32(LEFT))
        best = SUM(-math.inf)
        place = i32(-1)
        for i in range(KH):
            h = i32(top + i32(i) * i32(DILATION_H))
            for j in range(KW):
                w = i32(left + i32(j) * i32(DILATION_W))
                if h >= i32(0) and h < i32(H) and w >= i32(0) and w < i32(W):
                    at = i32(h * i32(W) + w)
                    x = ELEMENT(o0[u32(plane + u32(at))])
                    if place < i32(0) or ((x > best or x != x) and best == best):
                        best = x
                        place = at
        stored = WHAT
        o1[p] = stored
        EPILOGUE


def gathered(o0, o1, o2):
    """The elements of o0 at positions of its planes."""
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(SIZE):
        o2[p] = o0[u32(p // u32(OUT_H * OUT_W) * u32(H * W) + u32(o1[p]))]


def scattered(o0, o1, o2):
    """Planes of sums of what o0 has for each position; a thread goes through a plane."""
    plane = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if plane < u32(PLANES):
        for i in range(H * W):
            o2[u32(plane * u32(H * W) + u32(i))] = RESULT(SUM(0))
        for i in range(OUT_H * OUT_W):
            p = u32(plane * u32(OUT_H * OUT_W) + u32(i))
            at = u32(plane * u32(H * W) + u32(o1[p]))
            o2[at] = RESULT(SUM(ELEMENT(o2[at]) + ELEMENT(o0[p])))


def mean(o0, o1):
    """The mean of each window, of all its elements or of those that are there: ALL."""
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(SIZE):
        plane = u32(p // u32(OUT_H * OUT_W) * u32(H * W))
        top = i32(i32(p // u32(OUT_W) % u32(OUT_H)) * i32(STRIDE_H) - i32(TOP))
        left = i32(i32(p % u32(OUT_W)) * i32(STRIDE_W) - i32(LEFT))
        total = SUM(0)
        count = i32(0)
        for i in range(KH):
            h = i32(top + i32(i))
            for j in range(KW):
                w = i32(left + i32(j))
                if h >= i32(0) and h < i32(H) and w >= i32(0) and w < i32(W):
                    total = total + ELEMENT(o0[u32(plane + u32(h * i32(W) + w))])
                    count = i32(count + i32(1))
        stored = RESULT(DIVIDE(total, SUM(KH * KW) if ALL else SUM(count)))
        o1[p] = stored
        EPILOGUE


def mean_grad(o0, o1):
    """The gradient of `mean`: a thread for each element of the planes, which sums over the windows that hold it."""
    p = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if p < u32(PLANES * H * W):
        plane = u32(p // u32(H * W) * u32(OUT_H * OUT_W))
        h = i32(p // u32(W) % u32(H))
        w = i32(p % u32(W))
        total = SUM(0)
        for i in range(KH):
            a = i32(h + i32(TOP) - i32(i))
            for j in range(KW):
                b = i32(w + i32(LEFT) - i32(j))
                y = i32(a // i32(STRIDE_H))
                x = i32(b // i32(STRIDE_W))
                whole = a >= i32(0) and b >= i32(0) and a % i32(STRIDE_H) == i32(0) and b % i32(STRIDE_W) == i32(0)
                if whole and y < i32(OUT_H) and x < i32(OUT_W):
                    first_h = i32(y * i32(STRIDE_H) - i32(TOP))
                    first_w = i32(x * i32(STRIDE_W) - i32(LEFT))
                    rows = i32(min(first_h + i32(KH), i32(H)) - max(first_h, i32(0)))
                    columns = i32(min(first_w + i32(KW), i32(W)) - max(first_w, i32(0)))
                    count = SUM(KH * KW) if ALL else SUM(rows * columns)
                    total = total + DIVIDE(ELEMENT(o0[u32(plane + u32(y * i32(OUT_W) + x))]), count)
        o1[p] = RESULT(total)
