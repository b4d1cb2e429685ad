/* 4 tiles, 12288 bytes of scratch, printed.h, scalar.h */
/* kernel reduce [2048] inner [1536]
 *   o0: read float32
 *   o1: read float32
 *   o2: write float32
 *   %0 = load o0[1536*i0 + i1] : float32
 *   %1 = load o1[1536*i0 + i1] : float32
 *   %2 = multiply %0, %1 : float32
 *   %3 = reduce sum %2 : float32 row
 *   store o2[i1] = %3 */
static __attribute__((flatten, unused)) void kernel0_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    (void)a0, (void)a1;
    const float *const o0 = gc_program_operand(call, 0);
    const float *const o1 = gc_program_operand(call, 1);
    float *const o2 = gc_program_operand(call, 2);
    double *const s3 = (void *)(call->scratch);
    const int64_t i1 = c0, n1 = c1 - c0;
    GC_IVDEP
    for (int j1 = 0; j1 < (int)n1; j1++) {
        s3[j1] = 0.0;
    }
    for (int j0 = 0; j0 < 2048; j0++) {
        GC_IVDEP
        for (int j1 = 0; j1 < (int)n1; j1++) {
            const float v0 = o0[1536 * j0 + i1 + j1];
            const float v1 = o1[1536 * j0 + i1 + j1];
            const float v2 = v0 * v1;
            s3[j1] += v2;
        }
    }
    GC_IVDEP
    for (int j1 = 0; j1 < (int)n1; j1++) {
        const float v3 = (float)s3[j1];
        o2[i1 + j1] = v3;
    }
}

static __attribute__((unused)) void kernel0(const gc_call *call, int64_t tile) {
    const int64_t c0 = tile * 384;
    kernel0_region(call, 0, 1, c0, c0 + 384);
}
