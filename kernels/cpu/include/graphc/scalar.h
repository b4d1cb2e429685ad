/* Scalar operations whose C operators are undefined, trap or differ from NumPy: wrap-around integers, floor division,
 * shifts past the width, powers of integers. Pure functions, one for each type: f32 f64 i32 i64 u32 u8. */
#ifndef GRAPHC_SCALAR_H
#define GRAPHC_SCALAR_H

#include "vmath.h"

/* T is the type, U the unsigned type in which it wraps */
#define GC_WRAPPING(T, U, name)                                                                                     \
    static inline T gc_op_add_##name(T a, T b) { return (T)((U)a + (U)b); }                                            \
    static inline T gc_op_subtract_##name(T a, T b) { return (T)((U)a - (U)b); }                                       \
    static inline T gc_op_multiply_##name(T a, T b) { return (T)((U)a * (U)b); }                                       \
    static inline T gc_op_negative_##name(T a) { return (T)((U)0 - (U)a); }                                            \
    static inline T gc_op_maximum_##name(T a, T b) { return a > b ? a : b; }                                           \
    static inline T gc_op_minimum_##name(T a, T b) { return a < b ? a : b; }                                           \
    static inline T gc_op_relu_##name(T a) { return a > 0 ? a : 0; }                                                   \
    static inline T gc_op_bitwise_invert_##name(T a) { return (T)~a; }                                                 \
    static inline T gc_op_bitwise_and_##name(T a, T b) { return (T)(a & b); }                                          \
    static inline T gc_op_bitwise_or_##name(T a, T b) { return (T)(a | b); }                                           \
    static inline T gc_op_bitwise_xor_##name(T a, T b) { return (T)(a ^ b); }                                          \
    static inline T gc_op_bitwise_left_shift_##name(T a, T b) {                                                        \
        const U width = 8 * sizeof(T);                                                                              \
        return (T)((U)b < width ? (U)a << ((U)b & (width - 1)) : 0);                                                \
    }                                                                                                               \
    static inline T gc_op_bitwise_right_shift_##name(T a, T b) {                                                       \
        const U width = 8 * sizeof(T);                                                                              \
        return (T)(a >> ((U)b < width ? (U)b : width - 1) >> ((U)b < width || a < 0 ? 0 : 1));                      \
    }                                                                                                               \
    /* by squaring; a negative exponent truncates the exact power, as integer division would */                     \
    static inline T gc_op_power_##name(T a, T b) {                                                                     \
        if (b < 0)                                                                                                  \
            return a == 1 ? 1 : a == (T)-1 ? ((U)b & 1 ? (T)-1 : 1) : 0;                                            \
        U base = (U)a, power = 1;                                                                                   \
        for (U rest = (U)b; rest; rest >>= 1, base *= base)                                                         \
            power *= rest & 1 ? base : 1;                                                                           \
        return (T)power;                                                                                            \
    }

#define GC_SIGNED(T, U, name)                                                                                       \
    GC_WRAPPING(T, U, name)                                                                                         \
    static inline T gc_op_abs_##name(T a) { return a < 0 ? gc_op_negative_##name(a) : a; }                                \
    static inline T gc_op_sign_##name(T a) { return (T)((a > 0) - (a < 0)); }                                          \
    static inline T gc_op_floor_divide_##name(T a, T b) {                                                              \
        if (b == 0 || b == -1)                                                                                      \
            return b ? gc_op_negative_##name(a) : 0;                                                                   \
        const T q = a / b;                                                                                          \
        return q - (q * b != a && (a < 0) != (b < 0));                                                              \
    }                                                                                                               \
    static inline T gc_op_remainder_##name(T a, T b) {                                                                 \
        if (b == 0 || b == -1)                                                                                      \
            return 0;                                                                                               \
        const T r = a % b;                                                                                          \
        return r && (r < 0) != (b < 0) ? r + b : r;                                                                 \
    }                                                                                                               \
    static inline T gc_op_fmod_##name(T a, T b) { return b == 0 || b == -1 ? 0 : a % b; }

#define GC_UNSIGNED(T, U, name)                                                                                     \
    GC_WRAPPING(T, U, name)                                                                                         \
    static inline T gc_op_abs_##name(T a) { return a; }                                                                \
    static inline T gc_op_sign_##name(T a) { return a > 0; }                                                           \
    static inline T gc_op_floor_divide_##name(T a, T b) { return b ? a / b : 0; }                                      \
    static inline T gc_op_remainder_##name(T a, T b) { return b ? a % b : 0; }                                      \
    static inline T gc_op_fmod_##name(T a, T b) { return b ? a % b : 0; }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits"
GC_SIGNED(int32_t, uint32_t, i32)
GC_SIGNED(int64_t, uint64_t, i64)
GC_UNSIGNED(uint32_t, uint32_t, u32)
GC_UNSIGNED(uint8_t, unsigned, u8)
#pragma GCC diagnostic pop

/* U is the unsigned type of T's bits, F the suffix of libm's functions */
#define GC_FLOATING(T, U, F, name)                                                                                     \
    static inline T gc_op_add_##name(T a, T b) { return a + b; }                                                       \
    static inline T gc_op_subtract_##name(T a, T b) { return a - b; }                                                  \
    static inline T gc_op_multiply_##name(T a, T b) { return a * b; }                                                  \
    static inline T gc_op_divide_##name(T a, T b) { return a / b; }                                                    \
    /* Of what does not lose to the other, the bits that both have, or either has: NaN, or 0.0 above -0.0 (IEEE 754-2019). */\
    static inline T gc_op_maximum_##name(T a, T b) {                                                                   \
        const U first = a >= b ? gc_bits_##name(a) : (U)-1, second = b >= a ? gc_bits_##name(b) : (U)-1;               \
        return gc_float_##name(first & second);                                                                        \
    }                                                                                                                  \
    static inline T gc_op_minimum_##name(T a, T b) {                                                                   \
        const U first = b < a ? 0 : gc_bits_##name(a), second = a < b ? 0 : gc_bits_##name(b);                         \
        return gc_float_##name(first | second);                                                                        \
    }                                                                                                                  \
    static inline T gc_op_negative_##name(T a) { return -a; }                                                          \
    static inline T gc_op_abs_##name(T a) { return fabs##F(a); }                                                       \
    static inline T gc_op_sign_##name(T a) { return a != a ? a : (T)(a > 0) - (T)(a < 0); }                            \
    static inline T gc_op_floor_##name(T a) { return floor##F(a); }                                                    \
    static inline T gc_op_ceil_##name(T a) { return ceil##F(a); }                                                      \
    static inline T gc_op_round_##name(T a) { return rint##F(a); }                                                     \
    static inline T gc_op_trunc_##name(T a) { return trunc##F(a); }                                                    \
    static inline T gc_op_sqrt_##name(T a) { return sqrt##F(a); }                                                      \
    static inline T gc_op_relu_##name(T a) { return a <= 0 ? 0 : a; } /* 0.0 of -0.0 */                                \
    static inline uint8_t gc_op_isnan_##name(T a) { return a != a; }                                                   \
    static inline uint8_t gc_op_isinf_##name(T a) { return fabs##F(a) == INFINITY; }                                   \
    static inline uint8_t gc_op_isfinite_##name(T a) { return fabs##F(a) < INFINITY; }                                 \
    static inline T gc_op_fmod_##name(T a, T b) { return fmod##F(a, b); }                                              \
    static inline T gc_op_remainder_##name(T a, T b) {                                                                 \
        const T r = fmod##F(a, b);                                                                                  \
        return r == 0 ? copysign##F(0, b) : (r < 0) != (b < 0) ? r + b : r;                                         \
    }                                                                                                               \
    static inline T gc_op_floor_divide_##name(T a, T b) {                                                              \
        if (b == 0)                                                                                                 \
            return a / b;                                                                                           \
        const T r = fmod##F(a, b);                                                                                  \
        const T q = (a - r) / b - (r != 0 && (r < 0) != (b < 0));                                                   \
        const T whole = floor##F(q);                                                                                \
        return q == 0 ? copysign##F(0, a / b) : whole + (q - whole > (T)0.5);                                       \
    }

GC_FLOATING(float, uint32_t, f, f32)
GC_FLOATING(double, uint64_t, , f64)

#define GC_COMPARING(T, name)                                                                                       \
    static inline uint8_t gc_op_equal_##name(T a, T b) { return a == b; }                                              \
    static inline uint8_t gc_op_not_equal_##name(T a, T b) { return a != b; }                                          \
    static inline uint8_t gc_op_less_##name(T a, T b) { return a < b; }                                                \
    static inline uint8_t gc_op_less_equal_##name(T a, T b) { return a <= b; }                                         \
    static inline uint8_t gc_op_greater_##name(T a, T b) { return a > b; }                                             \
    static inline uint8_t gc_op_greater_equal_##name(T a, T b) { return a >= b; }

GC_COMPARING(float, f32)
GC_COMPARING(double, f64)
GC_COMPARING(int32_t, i32)
GC_COMPARING(int64_t, i64)
GC_COMPARING(uint32_t, u32)
GC_COMPARING(uint8_t, u8)

static inline uint8_t gc_op_logical_not_u8(uint8_t a) { return a == 0; }

#endif
