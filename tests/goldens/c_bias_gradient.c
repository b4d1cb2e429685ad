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
    for (int j0 = 0; j0 < 2048; j0 += 8) {
        GC_IVDEP
        for (int j1 = 0; j1 < (int)n1; j1++) {
            const float v0_0 = o0[1536 * j0 + i1 + j1];
            const float v0_1 = o0[1536 * (j0 + 1) + i1 + j1];
            const float v0_2 = o0[1536 * (j0 + 2) + i1 + j1];
            const float v0_3 = o0[1536 * (j0 + 3) + i1 + j1];
            const float v0_4 = o0[1536 * (j0 + 4) + i1 + j1];
            const float v0_5 = o0[1536 * (j0 + 5) + i1 + j1];
            const float v0_6 = o0[1536 * (j0 + 6) + i1 + j1];
            const float v0_7 = o0[1536 * (j0 + 7) + i1 + j1];
            const float v1_0 = o1[1536 * j0 + i1 + j1];
            const float v1_1 = o1[1536 * (j0 + 1) + i1 + j1];
            const float v1_2 = o1[1536 * (j0 + 2) + i1 + j1];
            const float v1_3 = o1[1536 * (j0 + 3) + i1 + j1];
            const float v1_4 = o1[1536 * (j0 + 4) + i1 + j1];
            const float v1_5 = o1[1536 * (j0 + 5) + i1 + j1];
            const float v1_6 = o1[1536 * (j0 + 6) + i1 + j1];
            const float v1_7 = o1[1536 * (j0 + 7) + i1 + j1];
            const float v2_0 = v0_0 * v1_0;
            const float v2_1 = v0_1 * v1_1;
            const float v2_2 = v0_2 * v1_2;
            const float v2_3 = v0_3 * v1_3;
            const float v2_4 = v0_4 * v1_4;
            const float v2_5 = v0_5 * v1_5;
            const float v2_6 = v0_6 * v1_6;
            const float v2_7 = v0_7 * v1_7;
            s3[j1] += ((((double)v2_0 + (double)v2_1) + ((double)v2_2 + (double)v2_3)) + (((double)v2_4 + (double)v2_5) + ((double)v2_6 + (double)v2_7)));
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
