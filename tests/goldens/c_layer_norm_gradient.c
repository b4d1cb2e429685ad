/* 94 tiles, 4096 bytes of scratch, printed.h, scalar.h, rows.h */
/* kernel outer [4096] reduce [1024]
 *   o0: read float32
 *   o1: read float32
 *   o2: read float32
 *   o3: read float32
 *   o4: read float32
 *   o5: write float32
 *   %0 = load o0[1024*i0 + i1] : float32
 *   %1 = load o1[i1] : float32
 *   %2 = multiply %0, %1 : float32
 *   %3 = load o2[i0] : float32 row
 *   %4 = load o3[1024*i0 + i1] : float32
 *   %5 = load o4[i0] : float32 row
 *   %6 = multiply %2, %3 : float32
 *   %7 = multiply %2, %4 : float32
 *   %8 = reduce sum %7 : float32 row
 *   %9 = divide %8, %5 : float32 row
 *   %10 = negative %9 : float32 row
 *   %11 = 0.0009765625 : float32 row
 *   %12 = multiply %10, %11 : float32 row
 *   %13 = multiply %12, %4 : float32
 *   %14 = add %6, %13 : float32
 *   %15 = reduce sum %14 : float32 row
 *   %16 = -0.0009765625 : float32 row
 *   %17 = multiply %15, %16 : float32 row
 *   %18 = add %14, %17 : float32
 *   store o5[1024*i0 + i1] = %18 */
static __attribute__((flatten, unused)) void kernel0_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    const float *const o0 = gc_program_operand(call, 0);
    const float *const o1 = gc_program_operand(call, 1);
    const float *const o2 = gc_program_operand(call, 2);
    const float *const o3 = gc_program_operand(call, 3);
    const float *const o4 = gc_program_operand(call, 4);
    float *const o5 = gc_program_operand(call, 5);
    float *const b14 = (void *)(call->scratch);
    const float v11 = 0x1p-10f /* 0.000976562 */;
    const float v16 = -0x1p-10f /* -0.000976562 */;
    if (c0 >= c1)
        return;
    for (int64_t i0 = a0; i0 < a1; i0++) {
        const float v3 = o2[i0];
        const float v5 = o4[i0];
        gc_sums_f32 q8 = gc_sums_none_f32();
        for (int p1 = 0; p1 < 1024; p1 += 64) {
            GC_FETCH(o0 + 1024 * i0 + p1, 4096, 256)
            float b7[64];
            GC_IVDEP
            for (int j1 = p1; j1 < p1 + 64; j1++) {
                const float v0 = o0[1024 * i0 + j1];
                const float v1 = o1[j1];
                const float v2 = v0 * v1;
                const float v4 = o3[1024 * i0 + j1];
                const float v7 = v2 * v4;
                b7[j1 - p1] = v7;
            }
            gc_sums_take_f32(&q8, b7, 64);
        }
        const double s8 = gc_sums_taken_f32(&q8);
        const float v8 = (float)s8;
        const float v9 = v8 / v5;
        const float v10 = -v9;
        const float v12 = v10 * v11;
        gc_sums_f32 q15 = gc_sums_none_f32();
        for (int p1 = 0; p1 < 1024; p1 += 64) {
            GC_FETCH(o3 + 1024 * i0 + p1, 4096, 256)
            GC_IVDEP
            for (int j1 = p1; j1 < p1 + 64; j1++) {
                const float v0 = o0[1024 * i0 + j1];
                const float v1 = o1[j1];
                const float v2 = v0 * v1;
                const float v4 = o3[1024 * i0 + j1];
                const float v6 = v2 * v3;
                const float v13 = v12 * v4;
                const float v14 = v6 + v13;
                b14[j1] = v14;
            }
            gc_sums_take_f32(&q15, b14 + p1, 64);
        }
        const double s15 = gc_sums_taken_f32(&q15);
        const float v15 = (float)s15;
        const float v17 = v15 * v16;
        for (int p1 = 0; p1 < 1024; p1 += 64) {
            GC_FETCH_OWN(o5 + 1024 * i0 + p1, 4096, 256)
            GC_IVDEP
            for (int j1 = p1; j1 < p1 + 64; j1++) {
                const float v14 = b14[j1];
                const float v18 = v14 + v17;
                o5[1024 * i0 + j1] = v18;
            }
        }
    }
}

static __attribute__((unused)) void kernel0(const gc_call *call, int64_t tile) {
    const int64_t a0 = tile * 44;
    kernel0_region(call, a0, gc_smaller(4096, a0 + 44), 0, 1);
}
