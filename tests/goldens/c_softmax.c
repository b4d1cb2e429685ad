/* 121 tiles, 4096 bytes of scratch, printed.h, scalar.h, rows.h */
/* kernel outer [4096] reduce [1024]
 *   o0: read float32
 *   o1: write float32
 *   %0 = load o0[1024*i0 + i1] : float32
 *   %1 = reduce max %0 : float32 row
 *   %2 = subtract %0, %1 : float32
 *   %3 = exp %2 : float32
 *   %4 = reduce sum %3 : float32 row
 *   %5 = divide %3, %4 : float32
 *   store o1[1024*i0 + i1] = %5 */
static __attribute__((flatten, unused)) void kernel0_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    const float *const o0 = gc_program_operand(call, 0);
    float *const o1 = gc_program_operand(call, 1);
    float *const b3 = (void *)(call->scratch);
    if (c0 >= c1)
        return;
    for (int64_t i0 = a0; i0 < a1; i0++) {
        const float s1 = gc_row_maximum_f32(o0 + 1024 * i0, 1024);
        const float v1 = s1;
        gc_sums_f32 q4 = gc_sums_none_f32();
        for (int p1 = 0; p1 < 1024; p1 += 64) {
            GC_FETCH(o0 + 1024 * i0 + p1, 4096, 256)
            GC_IVDEP
            for (int j1 = p1; j1 < p1 + 64; j1++) {
                const float v0 = o0[1024 * i0 + j1];
                const float v2 = v0 - v1;
                const float v3 = gc_exp_f32(v2);
                b3[j1] = v3;
            }
            gc_sums_take_f32(&q4, b3 + p1, 64);
        }
        const double s4 = gc_sums_taken_f32(&q4);
        const float v4 = (float)s4;
        for (int p1 = 0; p1 < 1024; p1 += 64) {
            GC_FETCH_OWN(o1 + 1024 * i0 + p1, 4096, 256)
            GC_IVDEP
            for (int j1 = p1; j1 < p1 + 64; j1++) {
                const float v3 = b3[j1];
                const float v5 = v3 / v4;
                o1[1024 * i0 + j1] = v5;
            }
        }
    }
}

static __attribute__((unused)) void kernel0(const gc_call *call, int64_t tile) {
    const int64_t a0 = tile * 34;
    kernel0_region(call, a0, gc_smaller(4096, a0 + 34), 0, 1);
}
