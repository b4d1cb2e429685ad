/* 32 tiles, 16384 bytes of scratch, printed.h, scalar.h, blocks.h */
/* kernel inner [2048, 1536]
 *   o0: read float32
 *   o1: read float32
 *   o2: write float32
 *   %0 = load o0[1536*i0 + i1] : float32
 *   %1 = load o1[i0 + 2048*i1] : float32
 *   %2 = add %0, %1 : float32
 *   store o2[1536*i0 + i1] = %2 */
static __attribute__((flatten, unused)) void kernel0_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    (void)a0, (void)a1;
    const float *const o0 = gc_program_operand(call, 0);
    const float *const o1 = gc_program_operand(call, 1);
    float *const o2 = gc_program_operand(call, 2);
    for (int64_t c = c0, n1; c < c1; c += n1) {
        const int64_t i1 = c % 1536;
        const int64_t i0 = c / 1536;
        n1 = gc_smaller(1536 - i1, c1 - c);
        GC_IVDEP
        for (int j1 = 0; j1 < (int)n1; j1++) {
            const float v0 = o0[1536 * i0 + i1 + j1];
            const float v1 = o1[i0 + 2048 * i1 + 2048 * j1];
            const float v2 = v0 + v1;
            o2[1536 * i0 + i1 + j1] = v2;
        }
    }
}

static __attribute__((flatten, unused)) void kernel0_blocks(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    const float *const o0 = gc_program_operand(call, 0);
    const float *const o1 = gc_program_operand(call, 1);
    float *const o2 = gc_program_operand(call, 2);
    float *const b1 = (void *)(call->scratch);
    for (int64_t i0 = a0; i0 < a1; i0 += 64) {
        const int64_t n0 = gc_smaller(64, a1 - i0);
        for (int64_t i1 = c0; i1 < c1; i1 += 64) {
            const int64_t n1 = gc_smaller(64, c1 - i1);
            gc_transpose_4(b1, 64, o1 + i0 + 2048 * i1, 2048, n0, n1);
            for (int j0 = 0; j0 < (int)n0; j0++) {
                GC_IVDEP
                for (int j1 = 0; j1 < (int)n1; j1++) {
                    const float v0 = o0[1536 * i0 + 1536 * j0 + i1 + j1];
                    const float v1 = b1[64 * j0 + j1];
                    const float v2 = v0 + v1;
                    o2[1536 * i0 + 1536 * j0 + i1 + j1] = v2;
                }
            }
        }
    }
}

static __attribute__((unused)) void kernel0(const gc_call *call, int64_t tile) {
    const int64_t a0 = tile * 64;
    kernel0_blocks(call, a0, a0 + 64, 0, 1536);
}
