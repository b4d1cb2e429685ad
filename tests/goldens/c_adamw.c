/* 54 tiles, 0 bytes of scratch, printed.h, scalar.h */
/* kernel inner [1048576]
 *   o0: read float32
 *   o1: read float32
 *   o2: read float32
 *   o3: read float32
 *   o4: read float32
 *   o5: read float32
 *   o6: write float32
 *   o7: write float32
 *   o8: write float32
 *   %0 = load o0[i0] : float32
 *   %1 = 0.99999 : float32
 *   %2 = multiply %0, %1 : float32
 *   %3 = load o1[i0] : float32
 *   %4 = load o2[i0] : float32
 *   %5 = 0.1 : float32
 *   %6 = subtract %3, %4 : float32
 *   %7 = multiply %5, %6 : float32
 *   %8 = add %4, %7 : float32
 *   %9 = 0.999 : float32
 *   %10 = load o3[i0] : float32
 *   %11 = multiply %9, %10 : float32
 *   %12 = 0.001 : float32
 *   %13 = multiply %3, %3 : float32
 *   %14 = multiply %12, %13 : float32
 *   %15 = add %11, %14 : float32
 *   %16 = sqrt %15 : float32
 *   %17 = load o4[0] : float32
 *   %18 = multiply %16, %17 : float32
 *   %19 = 1e-08 : float32
 *   %20 = add %18, %19 : float32
 *   %21 = divide %8, %20 : float32
 *   %22 = load o5[0] : float32
 *   %23 = multiply %22, %21 : float32
 *   %24 = subtract %2, %23 : float32
 *   store o6[i0] = %24
 *   store o7[i0] = %15
 *   store o8[i0] = %8 */
static __attribute__((flatten, unused)) void kernel0_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    (void)a0, (void)a1;
    const float *const o0 = gc_program_operand(call, 0);
    const float *const o1 = gc_program_operand(call, 1);
    const float *const o2 = gc_program_operand(call, 2);
    const float *const o3 = gc_program_operand(call, 3);
    const float *const o4 = gc_program_operand(call, 4);
    const float *const o5 = gc_program_operand(call, 5);
    float *const o6 = gc_program_operand(call, 6);
    float *const o7 = gc_program_operand(call, 7);
    float *const o8 = gc_program_operand(call, 8);
    const float v1 = 0x1.fffebp-1f /* 0.99999 */;
    const float v5 = 0x1.99999ap-4f /* 0.1 */;
    const float v9 = 0x1.ff7ceep-1f /* 0.999 */;
    const float v12 = 0x1.0624dep-10f /* 0.001 */;
    const float v17 = o4[0];
    const float v19 = 0x1.5798eep-27f /* 1e-08 */;
    const float v22 = o5[0];
    const int64_t i0 = c0;
    const int64_t n0 = c1 - c0;
    GC_IVDEP
    for (int j0 = 0; j0 < (int)n0; j0++) {
        const float v0 = o0[i0 + j0];
        const float v2 = v0 * v1;
        const float v3 = o1[i0 + j0];
        const float v4 = o2[i0 + j0];
        const float v6 = v3 - v4;
        const float v7 = v5 * v6;
        const float v8 = v4 + v7;
        const float v10 = o3[i0 + j0];
        const float v11 = v9 * v10;
        const float v13 = v3 * v3;
        const float v14 = v12 * v13;
        const float v15 = v11 + v14;
        const float v16 = gc_op_sqrt_f32(v15);
        const float v18 = v16 * v17;
        const float v20 = v18 + v19;
        const float v21 = v8 / v20;
        const float v23 = v22 * v21;
        const float v24 = v2 - v23;
        o6[i0 + j0] = v24;
        o7[i0 + j0] = v15;
        o8[i0 + j0] = v8;
    }
}

static __attribute__((unused)) void kernel0(const gc_call *call, int64_t tile) {
    const int64_t c0 = tile * 19456;
    kernel0_region(call, 0, 1, c0, gc_smaller(1048576, c0 + 19456));
}
