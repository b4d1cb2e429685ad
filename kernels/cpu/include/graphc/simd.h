/* Vectors as wide as the instruction set has them, in GCC/Clang vector extensions.
 *
 * `gc_f32v` and `gc_f64v` are full vectors, `gc_f32u` and `gc_f64u` the same read from or written to any address.
 * A fused multiply-add is asked for by name: modules are compiled with -ffp-contract=off, so that nothing else is fused.
 * The compilers' own builtins are used rather than <immintrin.h>, which costs a quarter of a second to compile.
 */
#ifndef GRAPHC_SIMD_H
#define GRAPHC_SIMD_H

#include <stdint.h>

#if defined(__AVX512F__)
#define GC_VECTOR_BYTES 64
#elif defined(__AVX__)
#define GC_VECTOR_BYTES 32
#else
#define GC_VECTOR_BYTES 16
#endif

#define GC_F32_LANES (GC_VECTOR_BYTES / 4)
#define GC_F64_LANES (GC_VECTOR_BYTES / 8)

#define GC_ALWAYS_INLINE static inline __attribute__((always_inline, unused))
/* One function for all its calls: GCC would make a copy for each constant that it is called with. */
#ifdef __clang__
#define GC_FUNCTION static __attribute__((noinline, unused))
#else
#define GC_FUNCTION static __attribute__((noinline, noclone, unused))
#endif

typedef float gc_f32v __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef double gc_f64v __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef int32_t gc_i32v __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef int64_t gc_i64v __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef float gc_f32u __attribute__((vector_size(GC_VECTOR_BYTES), aligned(4), may_alias));
typedef double gc_f64u __attribute__((vector_size(GC_VECTOR_BYTES), aligned(8), may_alias));

/* F(distance, lane) for each lane, separated by commas. */
#define GC_EACH_2(F, d) F(d, 0), F(d, 1)
#define GC_EACH_4(F, d) GC_EACH_2(F, d), F(d, 2), F(d, 3)
#define GC_EACH_8(F, d) GC_EACH_4(F, d), F(d, 4), F(d, 5), F(d, 6), F(d, 7)
#define GC_EACH_16(F, d) \
    GC_EACH_8(F, d), F(d, 8), F(d, 9), F(d, 10), F(d, 11), F(d, 12), F(d, 13), F(d, 14), F(d, 15)

#if GC_VECTOR_BYTES == 64
#define GC_EACH_F32 GC_EACH_16
#define GC_EACH_F64 GC_EACH_8
#elif GC_VECTOR_BYTES == 32
#define GC_EACH_F32 GC_EACH_8
#define GC_EACH_F64 GC_EACH_4
#else
#define GC_EACH_F32 GC_EACH_4
#define GC_EACH_F64 GC_EACH_2
#endif

#define GC_SAME_LANE(value, lane) value

GC_ALWAYS_INLINE gc_f32v gc_splat_f32(float x) { return (gc_f32v){GC_EACH_F32(GC_SAME_LANE, x)}; }
GC_ALWAYS_INLINE gc_f64v gc_splat_f64(double x) { return (gc_f64v){GC_EACH_F64(GC_SAME_LANE, x)}; }
GC_ALWAYS_INLINE gc_f32v gc_load_f32(const float *p) { return *(const gc_f32u *)p; }
GC_ALWAYS_INLINE gc_f64v gc_load_f64(const double *p) { return *(const gc_f64u *)p; }
GC_ALWAYS_INLINE void gc_store_f32(float *p, gc_f32v x) { *(gc_f32u *)p = x; }
GC_ALWAYS_INLINE void gc_store_f64(double *p, gc_f64v x) { *(gc_f64u *)p = x; }

#ifdef __has_builtin
#if __has_builtin(__builtin_elementwise_fma)
#define GC_HAS_ELEMENTWISE_FMA 1
#endif
#if __has_builtin(__builtin_shufflevector)
#define GC_HAS_SHUFFLE 1
#endif
#endif

/* a * b + c, rounded once where the instruction set can. */
#if defined(GC_HAS_ELEMENTWISE_FMA) && (defined(__FMA__) || defined(__AVX512F__) || defined(__aarch64__))
GC_ALWAYS_INLINE gc_f32v gc_fma_f32(gc_f32v a, gc_f32v b, gc_f32v c) { return __builtin_elementwise_fma(a, b, c); }
GC_ALWAYS_INLINE gc_f64v gc_fma_f64(gc_f64v a, gc_f64v b, gc_f64v c) { return __builtin_elementwise_fma(a, b, c); }
#elif defined(__AVX512F__) && !defined(__clang__)
#define GC_ALL_LANES (-1)
#define GC_CURRENT_ROUNDING 4
GC_ALWAYS_INLINE gc_f32v gc_fma_f32(gc_f32v a, gc_f32v b, gc_f32v c) {
    return __builtin_ia32_vfmaddps512_mask(a, b, c, GC_ALL_LANES, GC_CURRENT_ROUNDING);
}
GC_ALWAYS_INLINE gc_f64v gc_fma_f64(gc_f64v a, gc_f64v b, gc_f64v c) {
    return __builtin_ia32_vfmaddpd512_mask(a, b, c, GC_ALL_LANES, GC_CURRENT_ROUNDING);
}
#elif defined(__FMA__) && !defined(__clang__)
GC_ALWAYS_INLINE gc_f32v gc_fma_f32(gc_f32v a, gc_f32v b, gc_f32v c) { return __builtin_ia32_vfmaddps256(a, b, c); }
GC_ALWAYS_INLINE gc_f64v gc_fma_f64(gc_f64v a, gc_f64v b, gc_f64v c) { return __builtin_ia32_vfmaddpd256(a, b, c); }
#elif defined(__aarch64__)
#include <arm_neon.h>
GC_ALWAYS_INLINE gc_f32v gc_fma_f32(gc_f32v a, gc_f32v b, gc_f32v c) {
    return (gc_f32v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
GC_ALWAYS_INLINE gc_f64v gc_fma_f64(gc_f64v a, gc_f64v b, gc_f64v c) {
    return (gc_f64v)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
GC_ALWAYS_INLINE gc_f32v gc_fma_f32(gc_f32v a, gc_f32v b, gc_f32v c) { return a * b + c; }
GC_ALWAYS_INLINE gc_f64v gc_fma_f64(gc_f64v a, gc_f64v b, gc_f64v c) { return a * b + c; }
#endif

/* a > b ? a : b and a < b ? a : b in each lane: b where either is NaN, and of two zeros. `gc_nans_of`: where either is. */
#if defined(__AVX512F__)
#ifdef __clang__
#define GC_BETTER(V, M, which, sign, a, b) __builtin_ia32_##which##512(a, b, 4)
#else
#define GC_BETTER(V, M, which, sign, a, b) __builtin_ia32_##which##512_mask(a, b, b, -1, 4)
#endif
typedef unsigned gc_nans_f32, gc_nans_f64;
#define GC_NANS(M, compare, a, b) __builtin_ia32_##compare##512_mask(a, b, 3, -1, 4)
#else
typedef gc_i32v gc_nans_f32;
typedef gc_i64v gc_nans_f64;
#if defined(__AVX__)
#define GC_BETTER(V, M, which, sign, a, b) __builtin_ia32_##which##256(a, b)
#define GC_NANS(M, compare, a, b) ((M)__builtin_ia32_##compare##256(a, b, 3))
#elif defined(__SSE2__)
#define GC_BETTER(V, M, which, sign, a, b) __builtin_ia32_##which(a, b)
#define GC_NANS(M, compare, a, b) ((M)(a != a) | (M)(b != b))
#else /* vectors have no ?: in C */
#define GC_BETTER(V, M, which, sign, a, b) ((V)(((M)a & (a sign b)) | ((M)b & ~(a sign b))))
#define GC_NANS(M, compare, a, b) ((M)(a != a) | (M)(b != b))
#endif
#endif
GC_ALWAYS_INLINE gc_f32v gc_larger_f32(gc_f32v a, gc_f32v b) { return GC_BETTER(gc_f32v, gc_i32v, maxps, >, a, b); }
GC_ALWAYS_INLINE gc_f64v gc_larger_f64(gc_f64v a, gc_f64v b) { return GC_BETTER(gc_f64v, gc_i64v, maxpd, >, a, b); }
GC_ALWAYS_INLINE gc_f32v gc_smaller_f32(gc_f32v a, gc_f32v b) { return GC_BETTER(gc_f32v, gc_i32v, minps, <, a, b); }
GC_ALWAYS_INLINE gc_f64v gc_smaller_f64(gc_f64v a, gc_f64v b) { return GC_BETTER(gc_f64v, gc_i64v, minpd, <, a, b); }
GC_ALWAYS_INLINE gc_nans_f32 gc_nans_of_f32(gc_f32v a, gc_f32v b) { return GC_NANS(gc_i32v, cmpps, a, b); }
GC_ALWAYS_INLINE gc_nans_f64 gc_nans_of_f64(gc_f64v a, gc_f64v b) { return GC_NANS(gc_i64v, cmppd, a, b); }

/* Transpose a square of vectors in place: swap off-diagonal blocks of 1, 2, 4, ... lanes. */
#define GC_LOW_F32(d, lane) (((lane) & (d)) ? GC_F32_LANES + (lane) - (d) : (lane))
#define GC_HIGH_F32(d, lane) (((lane) & (d)) ? GC_F32_LANES + (lane) : (lane) + (d))
#define GC_LOW_F64(d, lane) (((lane) & (d)) ? GC_F64_LANES + (lane) - (d) : (lane))
#define GC_HIGH_F64(d, lane) (((lane) & (d)) ? GC_F64_LANES + (lane) : (lane) + (d))

#if defined(GC_HAS_SHUFFLE)
#define GC_SWAP_BLOCKS(rows, LANES, EACH, LOW, HIGH, VECTOR, d)                      \
    for (int i = 0; i < LANES; i++)                                                  \
        if (!(i & (d))) {                                                            \
            const VECTOR low = rows[i], high = rows[i + (d)];                        \
            rows[i] = __builtin_shufflevector(low, high, EACH(LOW, d));              \
            rows[i + (d)] = __builtin_shufflevector(low, high, EACH(HIGH, d));       \
        }
GC_ALWAYS_INLINE void gc_transpose_f32(gc_f32v *rows) {
    GC_SWAP_BLOCKS(rows, GC_F32_LANES, GC_EACH_F32, GC_LOW_F32, GC_HIGH_F32, gc_f32v, 1)
    GC_SWAP_BLOCKS(rows, GC_F32_LANES, GC_EACH_F32, GC_LOW_F32, GC_HIGH_F32, gc_f32v, 2)
#if GC_F32_LANES > 4
    GC_SWAP_BLOCKS(rows, GC_F32_LANES, GC_EACH_F32, GC_LOW_F32, GC_HIGH_F32, gc_f32v, 4)
#endif
#if GC_F32_LANES > 8
    GC_SWAP_BLOCKS(rows, GC_F32_LANES, GC_EACH_F32, GC_LOW_F32, GC_HIGH_F32, gc_f32v, 8)
#endif
}
GC_ALWAYS_INLINE void gc_transpose_f64(gc_f64v *rows) {
    GC_SWAP_BLOCKS(rows, GC_F64_LANES, GC_EACH_F64, GC_LOW_F64, GC_HIGH_F64, gc_f64v, 1)
#if GC_F64_LANES > 2
    GC_SWAP_BLOCKS(rows, GC_F64_LANES, GC_EACH_F64, GC_LOW_F64, GC_HIGH_F64, gc_f64v, 2)
#endif
#if GC_F64_LANES > 4
    GC_SWAP_BLOCKS(rows, GC_F64_LANES, GC_EACH_F64, GC_LOW_F64, GC_HIGH_F64, gc_f64v, 4)
#endif
}
#else
GC_ALWAYS_INLINE void gc_transpose_f32(gc_f32v *rows) {
    for (int i = 0; i < GC_F32_LANES; i++)
        for (int j = 0; j < i; j++) {
            const float kept = rows[i][j];
            rows[i][j] = rows[j][i];
            rows[j][i] = kept;
        }
}
GC_ALWAYS_INLINE void gc_transpose_f64(gc_f64v *rows) {
    for (int i = 0; i < GC_F64_LANES; i++)
        for (int j = 0; j < i; j++) {
            const double kept = rows[i][j];
            rows[i][j] = rows[j][i];
            rows[j][i] = kept;
        }
}
#endif

/* The sum of all lanes, by halves. */
GC_ALWAYS_INLINE float gc_sum_f32(gc_f32v x) {
    float lanes[GC_F32_LANES];
    gc_store_f32(lanes, x);
    for (int half = GC_F32_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}
GC_ALWAYS_INLINE double gc_sum_f64(gc_f64v x) {
    double lanes[GC_F64_LANES];
    gc_store_f64(lanes, x);
    for (int half = GC_F64_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

#endif
