"""The matrix product: tiles of 64 by 64 elements, a block of 256 threads each, 16 elements a thread.

    o2[C_INDEX] = sum over k of A_VALUE * B_VALUE

A block goes through k in steps of 16: both tiles of a step go to shared memory, rounded up with zeros, then each thread
adds the products of 4 rows and 4 columns, k by k. So an element's sum has the order of k, whatever the shapes are.

Names in capitals are what a call gives (calls/products.py, convolutions.py), as numbers, or as names of those that the
function is told: extents M N K; A_VALUE of `batch`,
`m`, `k` and B_VALUE of `batch`, `k`, `n`, which are elements of o0 and o1; C_INDEX, where the result of `batch`, `m`,
`n` lies. So a convolution is a product of matrices that nobody has to make. A_ALONG_K and B_ALONG_N say along which
axis neighbouring threads read. STEPS is the number of steps of k, TILES_M and TILES_N the tiles. RESULT converts what
is stored, ELEMENT what is read back; sums are of type SUM. EPILOGUE are lines that finish what is `stored`, the
element at POSITION of the result, and which may be all that is written: STORES.
"""

# ruff: noqa: B018, F821, F841


def matmul(o0, o1, o2):
    t = u32(cuda.threadIdx.x)
    block = u32(cuda.blockIdx.x)
    batch = u32(block // u32(TILES_M * TILES_N))
    first_m = u32(u32((block // u32(TILES_N)) % u32(TILES_M)) * u32(64))
    first_n = u32(u32(block % u32(TILES_N)) * u32(64))
    row = u32(u32(t // u32(16)) * u32(4))
    column = u32(u32(t % u32(16)) * u32(4))
    a = cuda.shared.array(1024, SUM)
    b = cuda.shared.array(1024, SUM)
    total = cuda.local.array(16, SUM)
    left = cuda.local.array(4, SUM)
    for i in range(16):
        total[i] = SUM(0)
    for step in range(STEPS):
        for i in range(4):
            e = u32(t + u32(i) * u32(256))
            at_k = u32(e % u32(16)) if A_ALONG_K else u32(e // u32(64))
            at_m = u32(e // u32(16)) if A_ALONG_K else u32(e % u32(64))
            k = u32(u32(step) * u32(16) + at_k)
            m = u32(first_m + at_m)
            value = SUM(0)
            if m < u32(M) and k < u32(K):
                value = A_VALUE
            a[u32(at_k * u32(64) + at_m)] = value
            at_k = u32(e // u32(64)) if B_ALONG_N else u32(e % u32(16))
            at_n = u32(e % u32(64)) if B_ALONG_N else u32(e // u32(16))
            k = u32(u32(step) * u32(16) + at_k)
            n = u32(first_n + at_n)
            value = SUM(0)
            if k < u32(K) and n < u32(N):
                value = B_VALUE
            b[u32(at_k * u32(64) + at_n)] = value
        cuda.syncthreads()
        for at in range(16):
            for i in range(4):
                left[i] = a[u32(u32(at) * u32(64) + row + u32(i))]
            for j in range(4):
                right = b[u32(u32(at) * u32(64) + column + u32(j))]
                for i in range(4):
                    total[i * 4 + j] = SUM(total[i * 4 + j] + left[i] * right)
        cuda.syncthreads()
    for i in range(4):
        for j in range(4):
            m = u32(first_m + row + u32(i))
            n = u32(first_n + column + u32(j))
            if m < u32(M) and n < u32(N):
                stored = RESULT(total[i * 4 + j])
                if STORES:
                    o2[C_INDEX] = stored
                EPILOGUE
