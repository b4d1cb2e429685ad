/* Elementary functions in float64: pure scalar functions, nearly all of them branch-free, so that compilers vectorise
 * loops over them.
 *
 * Within 4 ulp, mostly 2; NaN, infinities, signed zeros and denormals as in C's libm, which the rarer functions call.
 * Polynomials are minimax fits of our own, by Remez' algorithm; each names its degree, its interval, and the error that it
 * adds relative to the function's value. No contraction is relied upon: a fused multiply-add is asked for by name.
 */
#ifndef GRAPHC_VMATH_F64_H
#define GRAPHC_VMATH_F64_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* a * b + c, rounded once where the instruction set can. */
#if defined(__FMA__) || defined(__aarch64__)
static inline float gc_muladd_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double gc_muladd_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
static inline float gc_muladd_f32(float a, float b, float c) { return a * b + c; }
static inline double gc_muladd_f64(double a, double b, double c) { return a * b + c; }
#endif

static inline uint32_t gc_bits_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float gc_float_f32(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t gc_bits_f64(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double gc_float_f64(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* a * b - product, exactly, where product is a * b rounded and `a` has 24 significant bits at most. */
static inline double gc_product_rest_f64(double a, double b, double product) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fma(a, b, -product);
#else
    const double upper = gc_float_f64(gc_bits_f64(b) & ~0x7ffffffULL);
    return (a * upper - product) + a * (b - upper);
#endif
}

/* Adding this to x rounds x to an integer, half to even, and leaves that integer in the low bits: for |x| < 2^22, 2^51. */
#define GC_SHIFT_F32 0x1.8p23f
#define GC_SHIFT_F64 0x1.8p52

/* x * 2^k for -2044 <= k <= 2046, in two steps, so that neither factor overflows and a denormal is rounded once. */
static inline double gc_scale_f64(double x, int64_t k) {
    const uint64_t biased = (uint64_t)(k + 2046);
    const uint64_t half = biased >> 1;
    return x * gc_float_f64(half << 52) * gc_float_f64((biased - half) << 52);
}

/* (exp(r) - 1 - r) / r^2: degree 9, |r| <= 0.348, 2^-56.1 */
static inline double gc_exp_tail_f64(double r) {
    double p = 0x1.ad7ab823041acp-26;
    p = gc_muladd_f64(p, r, 0x1.28b1670c901e3p-22);
    p = gc_muladd_f64(p, r, 0x1.71df2ed72f3a9p-19);
    p = gc_muladd_f64(p, r, 0x1.a01995ee3b20ep-16);
    p = gc_muladd_f64(p, r, 0x1.a01a012327fcbp-13);
    p = gc_muladd_f64(p, r, 0x1.6c16c1859c4d2p-10);
    p = gc_muladd_f64(p, r, 0x1.111111112999ep-7);
    p = gc_muladd_f64(p, r, 0x1.555555555024bp-5);
    p = gc_muladd_f64(p, r, 0x1.55555555554f0p-3);
    return gc_muladd_f64(p, r, 0x1.000000000000bp-1);
}

static inline double gc_exp_f64(double x) {
    x = x < -746.0 ? -746.0 : x; /* beyond, the result is 0 or infinity all the same; NaN passes */
    x = x > 710.0 ? 710.0 : x;
    const double shifted = gc_muladd_f64(x, 0x1.71547652b82fep+0, GC_SHIFT_F64);
    const double n = shifted - GC_SHIFT_F64;
    double r = gc_muladd_f64(n, -0x1.62e42fee00000p-1, x);
    r = gc_muladd_f64(n, -0x1.a39ef35793c76p-33, r);
    const double y = 1.0 + gc_muladd_f64(r * r, gc_exp_tail_f64(r), r);
    return gc_scale_f64(y, (int64_t)(gc_bits_f64(shifted) - gc_bits_f64(GC_SHIFT_F64)));
}

static inline double gc_exp2_f64(double x) {
    x = x < -1076.0 ? -1076.0 : x;
    x = x > 1025.0 ? 1025.0 : x;
    const double shifted = x + GC_SHIFT_F64;
    const double r = (x - (shifted - GC_SHIFT_F64)) * 0x1.62e42fefa39efp-1;
    const double y = 1.0 + gc_muladd_f64(r * r, gc_exp_tail_f64(r), r);
    return gc_scale_f64(y, (int64_t)(gc_bits_f64(shifted) - gc_bits_f64(GC_SHIFT_F64)));
}

static inline double gc_expm1_f64(double x) {
    const double y = x < -50.0 ? -50.0 : x > 710.0 ? 710.0 : x;
    const double shifted = gc_muladd_f64(y, 0x1.71547652b82fep+0, GC_SHIFT_F64);
    const double n = shifted - GC_SHIFT_F64;
    double r = gc_muladd_f64(n, -0x1.62e42fee00000p-1, y);
    r = gc_muladd_f64(n, -0x1.a39ef35793c76p-33, r);
    const double p = gc_muladd_f64(r * r, gc_exp_tail_f64(r), r);
    /* 2^n (1 + p) - 1, with 2^(n-1) because 2^1024 overflows */
    const double half = gc_float_f64((gc_bits_f64(shifted) - gc_bits_f64(GC_SHIFT_F64) + 1022) << 52);
    const double result = gc_muladd_f64(p, half, half - 0.5) * 2.0;
    return fabs(x) < 0x1p-54 ? x : result;
}

/* log(1 + f) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f); R / s^2: degree 6 in s^2, |s| <= 0.172, 2^-59.1 */
static inline double gc_log_f64(double x) {
    const int tiny = x < 0x1p-1022;
    const uint64_t bits = gc_bits_f64(tiny ? x * 0x1p54 : x);
    /* x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); k is biased by 1024 to shift without a sign */
    const uint64_t above = bits - 0x3fe6a09e667f3bcdULL + (1024ULL << 52);
    const uint64_t biased = above >> 52;
    const double f = gc_float_f64(bits - ((biased - 1024) << 52)) - 1.0;
    const double k = (gc_float_f64(gc_bits_f64(GC_SHIFT_F64) + biased) - GC_SHIFT_F64) - (tiny ? 1078.0 : 1024.0);
    const double s = f / (2.0 + f);
    const double z = s * s;
    double p = 0x1.2f5720e59fd1dp-3;
    p = gc_muladd_f64(p, z, 0x1.3999f76331baep-3);
    p = gc_muladd_f64(p, z, 0x1.7466884607c32p-3);
    p = gc_muladd_f64(p, z, 0x1.c71c50b6a3c4dp-3);
    p = gc_muladd_f64(p, z, 0x1.24924943793a3p-2);
    p = gc_muladd_f64(p, z, 0x1.999999997e3e5p-2);
    p = gc_muladd_f64(p, z, 0x1.5555555555597p-1);
    const double half_square = 0.5 * f * f;
    const double low = gc_muladd_f64(s, gc_muladd_f64(z, p, half_square), k * 0x1.a39ef35793c76p-33);
    double result = gc_muladd_f64(k, 0x1.62e42fee00000p-1, f - (half_square - low));
    result = x < INFINITY ? result : x;
    result = x < 0.0 ? NAN : result;
    return x == 0.0 ? -INFINITY : result;
}

static inline double gc_log1p_f64(double x) {
    const double u = 1.0 + x;
    const double lost = x - (u - 1.0); /* what rounding 1 + x has lost, exactly */
    const double result = gc_log_f64(u) + lost / u;
    return x == 0.0 || u <= 0.0 || u == INFINITY ? (x == 0.0 ? x : gc_log_f64(u)) : result;
}

/* Up to here the products below are exact. */
#define GC_NEAR_F64 0x1p19

/* x - n pi/2 as high + low, and n modulo 4 in the low bits of the answer */
static inline uint64_t gc_quadrant_f64(double x, double *high, double *low) {
    const double shifted = gc_muladd_f64(x, 0x1.45f306dc9c883p-1, GC_SHIFT_F64);
    const double n = shifted - GC_SHIFT_F64;
    const double a = x - n * 0x1.921fb54400000p+0;
    const double b = n * 0x1.0b4611a600000p-34;
    const double r = a - b;
    const double rest = n * 0x1.3198a2e037073p-69 - ((a - r) - b);
    *high = r - rest;
    *low = (r - *high) - rest;
    return gc_bits_f64(shifted);
}

/* (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4: degree 5 in r^2 each, |r| <= pi/4, 2^-56.6 and 2^-59.1 */
static inline double gc_sin_or_cos_f64(double x, uint64_t quarter) {
    double r, low;
    const uint64_t quadrant = gc_quadrant_f64(x, &r, &low) + quarter;
    const double z = r * r;
    double s = 0x1.5d80eba223ddap-33;
    s = gc_muladd_f64(s, z, -0x1.ae5e295580724p-26);
    s = gc_muladd_f64(s, z, 0x1.71de352c0f0fep-19);
    s = gc_muladd_f64(s, z, -0x1.a01a019bbd1e9p-13);
    s = gc_muladd_f64(s, z, 0x1.111111110f5f0p-7);
    s = gc_muladd_f64(s, z, -0x1.5555555555547p-3);
    const double half = 0.5 * z;
    const double sine = r + gc_muladd_f64(z * r, s, low * (1.0 - half));
    double c = -0x1.8f9acbfc45809p-37;
    c = gc_muladd_f64(c, z, 0x1.1ee9c69d3bdddp-29);
    c = gc_muladd_f64(c, z, -0x1.27e4f7d4a4561p-22);
    c = gc_muladd_f64(c, z, 0x1.a01a019c6a5e8p-16);
    c = gc_muladd_f64(c, z, -0x1.6c16c16c14ebep-10);
    c = gc_muladd_f64(c, z, 0x1.555555555554ap-5);
    const double w = 1.0 - half;
    const double cosine = w + (((1.0 - w) - half) + gc_muladd_f64(z * z, c, -(r * low)));
    const double value = quadrant & 1 ? cosine : sine;
    return gc_float_f64(gc_bits_f64(value) ^ ((quadrant & 2) << 62));
}

/* For |x| < GC_NEAR_F64; and for every x, with the same bits, but not fit for vectors */
static inline double gc_sin_near_f64(double x) { return x == 0.0 ? x : gc_sin_or_cos_f64(x, 0); }
static inline double gc_cos_near_f64(double x) { return gc_sin_or_cos_f64(x, 1); }
static inline double gc_sin_f64(double x) { return fabs(x) >= GC_NEAR_F64 ? sin(x) : gc_sin_near_f64(x); }
static inline double gc_cos_f64(double x) { return fabs(x) >= GC_NEAR_F64 ? cos(x) : gc_cos_near_f64(x); }

static inline double gc_sigmoid_f64(double x) {
    const double e = gc_exp_f64(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

/* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
static inline double gc_softplus_f64(double x) {
    return (x > 0.0 ? x : 0.0) + gc_log1p_f64(gc_exp_f64(-fabs(x)));
}

/* (1 - e) / (1 + e) with e = exp(-2|x|) */
static inline double gc_tanh_f64(double x) {
    const double t = gc_expm1_f64(-2.0 * fabs(x));
    return x == 0.0 ? x : copysign(t / (2.0 + t), x);
}

static inline double gc_log2_f64(double x) { return log2(x); }
static inline double gc_log10_f64(double x) { return log10(x); }
static inline double gc_tan_f64(double x) { return tan(x); }
static inline double gc_asin_f64(double x) { return asin(x); }
static inline double gc_acos_f64(double x) { return acos(x); }
static inline double gc_atan_f64(double x) { return atan(x); }
static inline double gc_sinh_f64(double x) { return sinh(x); }
static inline double gc_cosh_f64(double x) { return cosh(x); }
static inline double gc_asinh_f64(double x) { return asinh(x); }
static inline double gc_acosh_f64(double x) { return acosh(x); }
static inline double gc_atanh_f64(double x) { return atanh(x); }
static inline double gc_erf_f64(double x) { return erf(x); }
static inline double gc_erfc_f64(double x) { return erfc(x); }
static inline double gc_power_f64(double x, double y) { return pow(x, y); }
static inline double gc_atan2_f64(double y, double x) { return atan2(y, x); }

#endif
