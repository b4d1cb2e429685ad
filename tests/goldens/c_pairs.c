/* 417 tiles, 28672 bytes of scratch, printed.h, scalar.h, blocks.h */
/* kernel outer [10000, 100] reduce [64]
 *   o0: read float32
 *   o1: read float32
 *   o2: write float32
 *   %0 = load o0[64*i0 + i2] : float32
 *   %1 = load o1[64*i1 + i2] : float32
 *   %2 = subtract %0, %1 : float32
 *   %3 = multiply %2, %2 : float32
 *   %4 = reduce sum %3 : float32 row
 *   store o2[100*i0 + i1] = %4 */
static __attribute__((flatten, unused)) void kernel0_blocks(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    const float *const o0 = gc_program_operand(call, 0);
    const float *const o1 = gc_program_operand(call, 1);
    float *const o2 = gc_program_operand(call, 2);
    float *const b1 = (void *)(call->scratch);
    double *const s4 = (void *)(call->scratch + 16384);
    for (int64_t i0 = a0; i0 < a1; i0 += 24) {
        const int64_t n0 = gc_smaller(24, a1 - i0);
        for (int64_t i1 = c0; i1 < c1; i1 += 64) {
            const int64_t n1 = gc_smaller(64, c1 - i1);
            for (int j0 = 0; j0 < (int)n0; j0++) {
                GC_IVDEP
                for (int j1 = 0; j1 < (int)n1; j1++) {
                    s4[64 * j0 + j1] = 0.0;
                }
            }
            gc_transpose_4(b1, 64, o1 + 64 * i1, 64, 64, n1);
            for (int j2 = 0; j2 < 64; j2 += 8) {
                for (int j0 = 0; j0 < (int)n0; j0++) {
                    const float v0_0 = o0[64 * i0 + 64 * j0 + j2];
                    const float v0_1 = o0[64 * i0 + 64 * j0 + (j2 + 1)];
                    const float v0_2 = o0[64 * i0 + 64 * j0 + (j2 + 2)];
                    const float v0_3 = o0[64 * i0 + 64 * j0 + (j2 + 3)];
                    const float v0_4 = o0[64 * i0 + 64 * j0 + (j2 + 4)];
                    const float v0_5 = o0[64 * i0 + 64 * j0 + (j2 + 5)];
                    const float v0_6 = o0[64 * i0 + 64 * j0 + (j2 + 6)];
                    const float v0_7 = o0[64 * i0 + 64 * j0 + (j2 + 7)];
                    GC_IVDEP
                    for (int j1 = 0; j1 < (int)n1; j1++) {
                        const float v1_0 = b1[64 * j2 + j1];
                        const float v1_1 = b1[64 * (j2 + 1) + j1];
                        const float v1_2 = b1[64 * (j2 + 2) + j1];
                        const float v1_3 = b1[64 * (j2 + 3) + j1];
                        const float v1_4 = b1[64 * (j2 + 4) + j1];
                        const float v1_5 = b1[64 * (j2 + 5) + j1];
                        const float v1_6 = b1[64 * (j2 + 6) + j1];
                        const float v1_7 = b1[64 * (j2 + 7) + j1];
                        const float v2_0 = v0_0 - v1_0;
                        const float v2_1 = v0_1 - v1_1;
                        const float v2_2 = v0_2 - v1_2;
                        const float v2_3 = v0_3 - v1_3;
                        const float v2_4 = v0_4 - v1_4;
                        const float v2_5 = v0_5 - v1_5;
                        const float v2_6 = v0_6 - v1_6;
                        const float v2_7 = v0_7 - v1_7;
                        const float v3_0 = v2_0 * v2_0;
                        const float v3_1 = v2_1 * v2_1;
                        const float v3_2 = v2_2 * v2_2;
                        const float v3_3 = v2_3 * v2_3;
                        const float v3_4 = v2_4 * v2_4;
                        const float v3_5 = v2_5 * v2_5;
                        const float v3_6 = v2_6 * v2_6;
                        const float v3_7 = v2_7 * v2_7;
                        s4[64 * j0 + j1] += ((((double)v3_0 + (double)v3_1) + ((double)v3_2 + (double)v3_3)) + (((double)v3_4 + (double)v3_5) + ((double)v3_6 + (double)v3_7)));
                    }
                }
            }
            for (int j0 = 0; j0 < (int)n0; j0++) {
                GC_IVDEP
                for (int j1 = 0; j1 < (int)n1; j1++) {
                    const float v4 = (float)s4[64 * j0 + j1];
                    o2[100 * i0 + 100 * j0 + i1 + j1] = v4;
                }
            }
        }
    }
}

static __attribute__((unused)) void kernel0(const gc_call *call, int64_t tile) {
    const int64_t a0 = tile * 24;
    kernel0_blocks(call, a0, gc_smaller(10000, a0 + 24), 0, 100);
}
