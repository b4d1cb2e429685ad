"""The matrix product: tiles of 64 by 64 elements, a block of 256 threads each, 16 elements a thread.

    o2[b, m, n] = sum over k of o0[b, m, k] * o1[b, k, n]

A block goes through k in steps of 16: both tiles of a step go to shared memory, rounded up with zeros, then each thread
adds the products of 4 rows and 4 columns, k by k. So an element's sum has the order of k, whatever the shapes are.

Names in capitals are what a call gives (backends/cuda/products.py): extents M N K; strides A_M A_K, B_K B_N, C_M C_N in
elements; where the matrices of `batch` start, A_BATCH B_BATCH C_BATCH; whether the first operand lies close along k and
the second along n, A_ALONG_K B_ALONG_N. STEPS is the number of steps of k, TILES_M and TILES_N the tiles. ELEMENT
converts what is loaded, RESULT what is stored; sums are of type SUM. EPILOGUE are lines that finish the element at
position `c` of the result, whose value is `product`.
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
        first_k = u32(u32(step) * u32(16))
        for i in range(4):
            e = u32(t + u32(i) * u32(256))
            k = u32(e % u32(16)) if A_ALONG_K else u32(e // u32(64))
            m = u32(e // u32(16)) if A_ALONG_K else u32(e % u32(64))
            value = SUM(0)
            if first_m + m < u32(M) and first_k + k < u32(K):
                value = ELEMENT(o0[u32(A_BATCH + (first_m + m) * u32(A_M) + (first_k + k) * u32(A_K))])
            a[u32(k * u32(64) + m)] = value
            k = u32(e // u32(64)) if B_ALONG_N else u32(e % u32(16))
            n = u32(e % u32(64)) if B_ALONG_N else u32(e // u32(16))
            value = SUM(0)
            if first_k + k < u32(K) and first_n + n < u32(N):
                value = ELEMENT(o1[u32(B_BATCH + (first_k + k) * u32(B_K) + (first_n + n) * u32(B_N))])
            b[u32(k * u32(64) + n)] = value
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
                o2[u32(C_BATCH + m * u32(C_M) + n * u32(C_N))] = stored
                product = ELEMENT(stored)
                c = u32((batch * u32(M) + m) * u32(N) + n)
                EPILOGUE
