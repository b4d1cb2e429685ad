/* Conversions that C leaves undefined or has no type for: rounding to 16 bits, and floats to integers out of range.
 * Pure, branch-free scalar functions. */
#ifndef GRAPHC_CONVERT_H
#define GRAPHC_CONVERT_H

#include "half.h"
#include "vmath_f64.h"

static inline float gc_round_bf16(float x) { return gc_from_bf16(gc_to_bf16(x)); }
static inline float gc_round_f16(float x) { return gc_from_f16(gc_to_f16(x)); }

/* To float32 so that rounding once more, to 16 bits, gives what rounding x once would: where inexact, to the odd neighbour. */
static inline float gc_narrow_to_odd(double x) {
    const float nearest = (float)x;
    const uint32_t bits = gc_bits_f32(nearest);
    const double back = nearest;
    const uint32_t away = fabs(back) > fabs(x) ? bits - 1u : bits + 1u;
    return back == x || x != x || (bits & 1u) ? nearest : gc_float_f32(away);
}

/* Out of range, and NaN, give the smallest integer. */
static inline int32_t gc_f32_to_i32(float x) { return (int32_t)(x >= -0x1p31f && x < 0x1p31f ? x : -0x1p31f); }
static inline int64_t gc_f32_to_i64(float x) { return (int64_t)(x >= -0x1p63f && x < 0x1p63f ? x : -0x1p63f); }
static inline int32_t gc_f64_to_i32(double x) { return (int32_t)(x > -0x1.00000002p31 && x < 0x1p31 ? x : -0x1p31); }
static inline int64_t gc_f64_to_i64(double x) { return (int64_t)(x >= -0x1p63 && x < 0x1p63 ? x : -0x1p63); }

#endif
