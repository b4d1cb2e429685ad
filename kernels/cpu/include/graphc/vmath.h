/* Elementary functions in float32 (and, through vmath_f64.h, float64): pure, branch-free scalar functions, so that
 * compilers vectorise loops over them.
 *
 * Within 2 ulp for every float32; NaN, infinities, signed zeros and denormals as in C's libm. The common functions
 * work in float32, the others in float64, rounded once. Polynomials are minimax fits of our own: a linear program for
 * each, with one coefficient after the other rounded to its type. Each names its degree, its interval, and the error
 * that it adds relative to the function's value. `python -m benchmarks.vmath` checks all of it.
 */
#ifndef GRAPHC_VMATH_H
#define GRAPHC_VMATH_H

#include "vmath_angle.h"
#include "vmath_f64.h"

static inline int32_t gc_smaller_i32(int32_t a, int32_t b) { return a < b ? a : b; }

/* Exponentials ------------------------------------------------------------------------------------------------------- */

/* (exp(r) - 1 - r) / r^2: degree 4, |r| <= 0.348, 2^-28.2 */
static inline float gc_exp_tail_f32(float r) {
    float p = 0x1.6a4a86p-10f;
    p = gc_muladd_f32(p, r, 0x1.123b3ap-7f);
    p = gc_muladd_f32(p, r, 0x1.5558b6p-5f);
    p = gc_muladd_f32(p, r, 0x1.555490p-3f);
    return gc_muladd_f32(p, r, 0x1.fffffcp-2f);
}

/* Added to an exponent, this leaves it rounded to an integer n in the low bits, as n + 254: the sum of the biased exponents
 * of two factors of 2^n, neither of which overflows. */
#define GC_EXPONENT_SHIFT (GC_SHIFT_F32 + 254.0f)
#define GC_EXPONENT_LIMIT (GC_SHIFT_F32 + 254.0f + 129.0f)

/* 2^n (1 + q) with q = exp(r) - 1 and n + 254 in the low bits of `shifted`; in `lost`, what rounding the sum has lost */
static inline float gc_scaled_exp_f32(float r, int32_t shifted, float *lost) {
    const float q = gc_muladd_f32(r * r, gc_exp_tail_f32(r), r);
    const uint32_t sum = (uint32_t)shifted, half = sum >> 1;
    const float first = gc_float_f32(half << 23), second = gc_float_f32((sum - half) << 23);
    const float scaled = gc_muladd_f32(q, first, first);
    *lost = gc_muladd_f32(q, first, first - scaled) * second;
    return scaled * second;
}

/* The bits of such a sum, with n limited to 129. What is cut off stays in r, and makes the result infinite. */
static inline int32_t gc_exponent_f32(float shifted) {
    return gc_smaller_i32((int32_t)gc_bits_f32(shifted), (int32_t)gc_bits_f32(GC_EXPONENT_LIMIT));
}

/* exp(x) / 2^lowered, lowered 0 or 1; in `lost`, for x >= -87, what rounding has lost */
static inline float gc_exp_in_two_f32(float x, int lowered, float *lost) {
    const float shift = GC_EXPONENT_SHIFT - (float)lowered;
    const int32_t shifted = gc_exponent_f32(gc_muladd_f32(x, 0x1.715476p+0f, shift));
    const float n = gc_float_f32((uint32_t)shifted) - shift;
    const float r = gc_muladd_f32(n, -0x1.0bfbe8p-15f, gc_muladd_f32(n, -0x1.62e000p-1f, x));
    const float result = gc_scaled_exp_f32(r, shifted, lost);
    return x < -104.0f ? 0.0f : result;
}

static inline float gc_exp_lowered_f32(float x, int lowered) {
    float lost;
    return gc_exp_in_two_f32(x, lowered, &lost);
}

static inline float gc_exp_f32(float x) { return gc_exp_lowered_f32(x, 0); }

static inline float gc_exp2_f32(float x) {
    const int32_t shifted = gc_exponent_f32(x + GC_EXPONENT_SHIFT);
    const float r = (x - (gc_float_f32((uint32_t)shifted) - GC_EXPONENT_SHIFT)) * 0x1.62e430p-1f;
    float lost;
    const float result = gc_scaled_exp_f32(r, shifted, &lost);
    return x < -150.0f ? 0.0f : result;
}

/* exp(x) for -87 <= x, with an error of some 2^-29 |x| more, for sums in which that is lost */
static inline float gc_exp_rough_f32(float x) {
    const float shift = GC_SHIFT_F32 + 127.0f;
    const int32_t limit = (int32_t)gc_bits_f32(GC_SHIFT_F32 + 127.0f + 64.0f);
    const int32_t shifted = gc_smaller_i32((int32_t)gc_bits_f32(gc_muladd_f32(x, 0x1.715476p+0f, shift)), limit);
    const float r = gc_muladd_f32(gc_float_f32((uint32_t)shifted) - shift, -0x1.62e430p-1f, x);
    const float q = gc_muladd_f32(r * r, gc_exp_tail_f32(r), r), scale = gc_float_f32((uint32_t)shifted << 23);
    return gc_muladd_f32(q, scale, scale);
}

/* 2 (2^(n-1) (1 + q) - 1/2), because 2^128 overflows */
static inline float gc_expm1_f32(float x) {
    const int32_t limit = (int32_t)gc_bits_f32(88.8f);
    const float shift = GC_SHIFT_F32 + 126.0f, y = gc_float_f32((uint32_t)gc_smaller_i32((int32_t)gc_bits_f32(x), limit));
    const uint32_t shifted = gc_bits_f32(gc_muladd_f32(y, 0x1.715476p+0f, shift));
    const float n = gc_float_f32(shifted) - shift;
    const float high = gc_muladd_f32(n, -0x1.62e000p-1f, y); /* exact */
    const float r = gc_muladd_f32(n, -0x1.0bfbe8p-15f, high);
    const float low = gc_muladd_f32(n, -0x1.0bfbe8p-15f, high - r);
    const float q = r + gc_muladd_f32(r * r, gc_exp_tail_f32(r), low), half = gc_float_f32(shifted << 23);
    float result = gc_muladd_f32(q, half, half - 0.5f) * 2.0f;
    result = x < -20.0f ? -1.0f : result;
    return !(fabsf(x) >= 0x1p-25f) ? x : result;
}

/* 1 - g or e - e g, with e = exp(-|x|) and g = e / (1 + e) */
static inline float gc_sigmoid_f32(float x) {
    const float e = gc_exp_f32(-fabsf(x));
    const float whole = x < 0.0f ? e : 1.0f;
    return gc_muladd_f32(whole, -(e / (1.0f + e)), whole);
}

/* max(x, 0) + log(1 + e) with e = exp(-|x|); (log(1 + e) - e) / e^2: degree 8, 0 <= e <= 1, 2^-27.5 */
static inline float gc_softplus_f32(float x) {
    float lost;
    const float e = gc_exp_in_two_f32(-fabsf(x), 0, &lost);
    float p = -0x1.af49cep-9f;
    p = gc_muladd_f32(p, e, 0x1.4917cep-6f);
    p = gc_muladd_f32(p, e, -0x1.d6b08cp-5f);
    p = gc_muladd_f32(p, e, 0x1.b4ae08p-4f);
    p = gc_muladd_f32(p, e, -0x1.3a435ep-3f);
    p = gc_muladd_f32(p, e, 0x1.934b54p-3f);
    p = gc_muladd_f32(p, e, -0x1.ff23e6p-3f);
    p = gc_muladd_f32(p, e, 0x1.554dd0p-2f);
    p = gc_muladd_f32(p, e, -0x1.ffffd2p-2f);
    return e + gc_muladd_f32(e * e, p, (x > 0.0f ? x : 0.0f) + (fabsf(x) > 87.0f ? 0.0f : lost));
}

/* 1 - 2 / (exp(2|x|) + 1); where that is below 1/2, (tanh(x) - x) / x^3: degree 3 in x^2, |x| <= 0.55, 2^-24.7 */
static inline float gc_tanh_f32(float x) {
    const float a = fabsf(x), z = x * x;
    float p = 0x1.0d5178p-6f;
    p = gc_muladd_f32(p, z, -0x1.af7d36p-5f);
    p = gc_muladd_f32(p, z, 0x1.10cefcp-3f);
    p = gc_muladd_f32(p, z, -0x1.555452p-2f);
    const float near = gc_muladd_f32(p * z, a, a);
    const float far = 1.0f - 2.0f / (gc_exp_rough_f32(a + a) + 1.0f);
    return copysignf(a < 0.55f ? near : far, x);
}

/* E + 1 / (4 E) and E - 1 / (4 E) with E = exp(|x|) / 2; near 0, (sinh(x) - x) / x^3: degree 3 in x^2, |x| <= 1, 2^-31.6 */
static inline float gc_cosh_f32(float x) {
    const float e = gc_exp_lowered_f32(fabsf(x), 1);
    return e + 0.25f / e;
}

static inline float gc_sinh_f32(float x) {
    const float a = fabsf(x), z = x * x;
    float p = 0x1.756c1ep-19f;
    p = gc_muladd_f32(p, z, 0x1.a022bcp-13f);
    p = gc_muladd_f32(p, z, 0x1.1110e0p-7f);
    p = gc_muladd_f32(p, z, 0x1.555556p-3f);
    const float near = gc_muladd_f32(p * z, a, a);
    const float e = gc_exp_lowered_f32(a, 1);
    return copysignf(a < 1.0f ? near : e - 0.25f / e, x);
}

/* Logarithms --------------------------------------------------------------------------------------------------------- */

/* x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), for finite x > 0 */
typedef struct gc_parts_f32 {
    float f;
    int32_t k;
} gc_parts_f32;

static inline gc_parts_f32 gc_parts_of_f32(float x) {
    const int tiny = x < 0x1p-126f, also_tiny = (int32_t)gc_bits_f32(x) < 0x00800000; /* apart, or GCC splits the way */
    const uint32_t bits = gc_bits_f32(tiny ? x * 0x1p25f : x);
    const int32_t exponent = (int32_t)(bits - 0x3f3504f3u) >> 23;
    const float f = gc_float_f32(bits - ((uint32_t)exponent << 23)) - 1.0f;
    return (gc_parts_f32){f, exponent - (also_tiny ? 25 : 0)};
}

/* The logarithm of x, which is `result` if x is positive and finite */
static inline float gc_log_limits_f32(float x, float result) {
    const float limit = x == 0.0f ? -INFINITY : NAN;
    result = x > 0.0f ? result : limit;
    return gc_bits_f32(x) == 0x7f800000u ? x : result;
}

/* k log(2) + log(1 + f); (log(1 + f) - f) / f^2: degree 8, -0.293 <= f <= 0.415, 2^-27.8 */
static inline float gc_log_of_parts_f32(float f, float k) {
    float p = -0x1.3813e0p-4f;
    p = gc_muladd_f32(p, f, 0x1.087508p-3f);
    p = gc_muladd_f32(p, f, -0x1.0f5200p-3f);
    p = gc_muladd_f32(p, f, 0x1.226c82p-3f);
    p = gc_muladd_f32(p, f, -0x1.5423e8p-3f);
    p = gc_muladd_f32(p, f, 0x1.99a41cp-3f);
    p = gc_muladd_f32(p, f, -0x1.000438p-2f);
    p = gc_muladd_f32(p, f, 0x1.555550p-2f);
    p = gc_muladd_f32(p, f, -0x1.fffff8p-2f);
    return gc_muladd_f32(k, 0x1.62e000p-1f, gc_muladd_f32(k, 0x1.0bfbe8p-15f, gc_muladd_f32(f * f, p, f)));
}

static inline float gc_log_f32(float x) {
    const gc_parts_f32 parts = gc_parts_of_f32(x);
    return gc_log_limits_f32(x, gc_log_of_parts_f32(parts.f, (float)parts.k));
}

/* k + log2(1 + f); log2(1 + f) = f log2(e) + f^2 times a polynomial of degree 8, 2^-27.7 */
static inline float gc_log2_f32(float x) {
    const gc_parts_f32 parts = gc_parts_of_f32(x);
    const float f = parts.f;
    float p = -0x1.c39b12p-4f;
    p = gc_muladd_f32(p, f, 0x1.7f27fcp-3f);
    p = gc_muladd_f32(p, f, -0x1.87f7f0p-3f);
    p = gc_muladd_f32(p, f, 0x1.a2c9dep-3f);
    p = gc_muladd_f32(p, f, -0x1.eaa24ap-3f);
    p = gc_muladd_f32(p, f, 0x1.277f44p-2f);
    p = gc_muladd_f32(p, f, -0x1.715afep-2f);
    p = gc_muladd_f32(p, f, 0x1.ec7094p-2f);
    p = gc_muladd_f32(p, f, -0x1.715470p-1f);
    const float y = gc_muladd_f32(f, 0x1.715476p+0f, gc_muladd_f32(f, 0x1.4ae0c0p-26f, f * f * p));
    return gc_log_limits_f32(x, (float)parts.k + y);
}

/* k log10(2) + log10(1 + f); log10(1 + f) = f log10(e) + f^2 times a polynomial of degree 8, 2^-27.7 */
static inline float gc_log10_f32(float x) {
    const gc_parts_f32 parts = gc_parts_of_f32(x);
    const float f = parts.f, k = (float)parts.k;
    float p = -0x1.1094a4p-5f;
    p = gc_muladd_f32(p, f, 0x1.cd12c8p-5f);
    p = gc_muladd_f32(p, f, -0x1.d791e2p-5f);
    p = gc_muladd_f32(p, f, 0x1.f84aa8p-5f);
    p = gc_muladd_f32(p, f, -0x1.276a4ap-4f);
    p = gc_muladd_f32(p, f, 0x1.63d06ep-4f);
    p = gc_muladd_f32(p, f, -0x1.bcbf52p-4f);
    p = gc_muladd_f32(p, f, 0x1.287a70p-3f);
    p = gc_muladd_f32(p, f, -0x1.bcb7aap-3f);
    const float y = gc_muladd_f32(f, 0x1.bcb7b2p-2f, gc_muladd_f32(f, -0x1.5b235ep-27f, f * f * p));
    return gc_log_limits_f32(x, gc_muladd_f32(k, 0x1.344000p-2f, gc_muladd_f32(k, 0x1.3509f8p-18f, y)));
}

/* log(u) with u = 1 + x, and with what rounding u has lost added to its fraction */
static inline float gc_log1p_f32(float x) {
    const float u = 1.0f + x, lost = x - (u - 1.0f);
    const gc_parts_f32 parts = gc_parts_of_f32(u);
    const int32_t k = gc_smaller_i32(parts.k, 64); /* from 2^25 on nothing is lost */
    const float f = gc_muladd_f32(lost, gc_float_f32((uint32_t)(127 - k) << 23), parts.f);
    const float result = gc_log_limits_f32(u, gc_log_of_parts_f32(f, (float)parts.k));
    return x == 0.0f ? x : result;
}

/* Error functions ---------------------------------------------------------------------------------------------------- */

/* erf(x) / x - 1: degree 5 in x^2, |x| <= 0.8, 2^-28.1. Else 1 - exp(-Q(|x|)): degree 6, 0.8 <= |x| <= 3.95, 2^-28.5 */
static inline float gc_erf_f32(float x) {
    const float z = x * x;
    float p = -0x1.57009cp-11f;
    p = gc_muladd_f32(p, z, 0x1.4d5f72p-8f);
    p = gc_muladd_f32(p, z, -0x1.b7746ap-6f);
    p = gc_muladd_f32(p, z, 0x1.ce2888p-4f);
    p = gc_muladd_f32(p, z, -0x1.812732p-2f);
    p = gc_muladd_f32(p, z, 0x1.06eba6p-3f);
    const float whole = fabsf(x), near = gc_muladd_f32(p, whole, whole);
    const int32_t limit = (int32_t)gc_bits_f32(3.95f); /* from there on, erf(x) rounds to 1 */
    const float a = gc_float_f32((uint32_t)gc_smaller_i32((int32_t)gc_bits_f32(whole), limit));
    float q = -0x1.b59f8ep-13f;
    q = gc_muladd_f32(q, a, 0x1.9ece12p-9f);
    q = gc_muladd_f32(q, a, -0x1.73dd80p-6f);
    q = gc_muladd_f32(q, a, 0x1.ad920ep-4f);
    q = gc_muladd_f32(q, a, 0x1.45b480p-1f);
    q = gc_muladd_f32(q, a, 0x1.20d660p+0f);
    q = gc_muladd_f32(q, a, 0x1.dd3978p-15f);
    const float far = 1.0f - gc_exp_rough_f32(-q);
    return copysignf(whole >= 0.8f ? far : near, x); /* NaN is near */
}

/* In float64: 1 - erf(x) below 1/2, erf(x) / x of degree 9 in x^2, |x| <= 1, 2^-45.8. Else exp(-x^2) E(t), with
 * t = (x - 2) / (x + 2), E of degree 12, 0.5 <= x <= 10.1, 2^-35.7; from 10.06 on the result is 0. */
static inline float gc_erfc_f32(float argument) {
    const double x = argument, a = fabs(x);
    const double z = a < 1.0 ? a * a : 1.0;
    double p = -0x1.c21047280653bp-24;
    p = gc_muladd_f64(p, z, 0x1.9afec20bc6fb0p-20);
    p = gc_muladd_f64(p, z, -0x1.f0776cdde4512p-17);
    p = gc_muladd_f64(p, z, 0x1.f942a3d907bdcp-14);
    p = gc_muladd_f64(p, z, -0x1.c0287d8f06a36p-11);
    p = gc_muladd_f64(p, z, 0x1.565ba0fb96138p-8);
    p = gc_muladd_f64(p, z, -0x1.b82ce165575fbp-6);
    p = gc_muladd_f64(p, z, 0x1.ce2f2197f50e7p-4);
    p = gc_muladd_f64(p, z, -0x1.812746b027a79p-2);
    p = gc_muladd_f64(p, z, 0x1.20dd750429b1cp+0);
    const double b = a > 10.2 ? 10.2 : a;
    const double t = (b - 2.0) / (b + 2.0);
    double q = -0x1.77ecc983bd8ecp-18;
    q = gc_muladd_f64(q, t, -0x1.b95554ed868f3p-16);
    q = gc_muladd_f64(q, t, 0x1.630dadbf81563p-16);
    q = gc_muladd_f64(q, t, 0x1.6d8090e8f24f3p-13);
    q = gc_muladd_f64(q, t, 0x1.7fca45ee313a9p-15);
    q = gc_muladd_f64(q, t, -0x1.0173da5e288a5p-10);
    q = gc_muladd_f64(q, t, -0x1.bc5711aea6f05p-11);
    q = gc_muladd_f64(q, t, 0x1.ca967698d638fp-8);
    q = gc_muladd_f64(q, t, 0x1.e94808d4d2e4fp-9);
    q = gc_muladd_f64(q, t, -0x1.437f0c1326bebp-4);
    q = gc_muladd_f64(q, t, 0x1.eeea7dad782bep-3);
    q = gc_muladd_f64(q, t, -0x1.b57034eefdf63p-2);
    q = gc_muladd_f64(q, t, 0x1.058671b53bc99p-2);
    const double tail = gc_exp_f64(-b * b) * q;
    const double far = x < 0.0 ? 2.0 - tail : tail;
    return (float)(a < 0.5 ? 1.0 - x * p : far);
}

/* Powers ------------------------------------------------------------------------------------------------------------- */

/* log2(1 + f) / f in float64: degree 12, -0.293 <= f <= 0.415, 2^-35.8; odd and even powers apart, for shorter chains */
static inline double gc_log2_quotient_f64(double f) {
    const double z = f * f;
    double even = 0x1.3cea2f6e304ccp-4, odd = -0x1.248906aa290e1p-3;
    even = gc_muladd_f64(even, z, 0x1.287169bc9cf52p-3);
    odd = gc_muladd_f64(odd, z, -0x1.252f1aa653236p-3);
    even = gc_muladd_f64(even, z, 0x1.45292c1e063c1p-3);
    odd = gc_muladd_f64(odd, z, -0x1.714175bb6f451p-3);
    even = gc_muladd_f64(even, z, 0x1.a63f432c02128p-3);
    odd = gc_muladd_f64(odd, z, -0x1.ec72b54fa608ep-3);
    even = gc_muladd_f64(even, z, 0x1.27765200ddf74p-2);
    odd = gc_muladd_f64(odd, z, -0x1.7154709853ec9p-2);
    even = gc_muladd_f64(even, z, 0x1.ec709ebb859e5p-2);
    odd = gc_muladd_f64(odd, z, -0x1.715476565ccd8p-1);
    even = gc_muladd_f64(even, z, 0x1.71547652a1eb9p+0);
    return gc_muladd_f64(odd, f, even);
}

/* 2^(y log2|x|), the product in float64, with the signs and exceptions of C's pow */
static inline float gc_power_f32(float x, float y) {
    const float a = fabsf(x), b = fabsf(y);
    const gc_parts_f32 parts = gc_parts_of_f32(a);
    const double f = parts.f, k = gc_log_limits_f32(a, (float)parts.k);
    const float bounded = b > 0x1p40f ? copysignf(0x1p40f, y) : y; /* by then the result is 0, 1 or infinite */
    const double exponent = bounded * gc_muladd_f64(gc_log2_quotient_f64(f), f, k);
    const float rounded = (float)exponent;
    const int32_t shifted = gc_exponent_f32(rounded + GC_EXPONENT_SHIFT);
    const float n = gc_float_f32((uint32_t)shifted) - GC_EXPONENT_SHIFT;
    float lost;
    const float scaled = gc_scaled_exp_f32((float)(exponent - n) * 0x1.62e430p-1f, shifted, &lost);
    const float magnitude = rounded < -151.0f ? 0.0f : scaled;
    /* |y| less the nearest multiple of 2: 0 for even integers, 1 or -1 for odd ones; from 2^24 on, floats are even */
    const float c = gc_float_f32((uint32_t)gc_smaller_i32((int32_t)gc_bits_f32(b), (int32_t)gc_bits_f32(0x1p24f)));
    const float rest = fabsf(gc_muladd_f32(gc_muladd_f32(c, 0.5f, 0x1p23f) - 0x1p23f, -2.0f, c));
    const uint32_t sign = rest == 1.0f ? gc_bits_f32(x) & 0x80000000u : 0;
    const float with_sign = gc_float_f32(gc_bits_f32(magnitude) | sign);
    const int undefined = (x < 0.0f) & (a < INFINITY) & (rest != 0.0f) & (rest != 1.0f);
    const float result = undefined ? NAN : with_sign;
    return ((y == 0.0f) | (x == 1.0f)) ? 1.0f : result;
}

#endif
