/* Elementary functions in float32 (and, through vmath_f64.h, float64): pure, branch-free scalar functions.
 *
 * Within 2 ulp for every float32; NaN, infinities, signed zeros and denormals as in C's libm. The common functions
 * work in float32; the rarer ones in float64, rounded once. sin, cos and tan hold for |x| <= GC_TRIG_LIMIT; a caller that
 * meets a larger argument takes the gc_*_wide_* function, which asks libm there and gives the same bits elsewhere.
 */
#ifndef GRAPHC_VMATH_H
#define GRAPHC_VMATH_H

#include "vmath_f64.h"

/* x * 2^k for -252 <= k <= 254 */
static inline float gc_scale_f32(float x, int32_t k) {
    const uint32_t biased = (uint32_t)(k + 254);
    const uint32_t half = biased >> 1;
    return x * gc_float_f32(half << 23) * gc_float_f32((biased - half) << 23);
}

/* exp(r + low) for |r| <= 0.35, low < ulp(r) */
static inline float gc_exp_near_f32(float r, float low) {
    float p = 0x1.6a1a78p-10f;
    p = gc_muladd_f32(p, r, 0x1.123fc6p-7f);
    p = gc_muladd_f32(p, r, 0x1.555916p-5f);
    p = gc_muladd_f32(p, r, 0x1.55548ap-3f);
    p = gc_muladd_f32(p, r, 0x1.fffffcp-2f);
    return 1.0f + (gc_muladd_f32(r * r, p, low) + r);
}

static inline float gc_exp_f32(float x) {
    x = x < -104.0f ? -104.0f : x; /* beyond, the result is 0 or infinity all the same; NaN passes */
    x = x > 89.0f ? 89.0f : x;
    const float shifted = gc_muladd_f32(x, 0x1.715476p+0f, GC_SHIFT_F32);
    const float n = shifted - GC_SHIFT_F32;
    const float high = gc_muladd_f32(n, -0x1.62e000p-1f, x); /* exact */
    const float r = gc_muladd_f32(n, -0x1.0bfbe8p-15f, high);
    const float low = gc_muladd_f32(n, -0x1.0bfbe8p-15f, high - r);
    return gc_scale_f32(gc_exp_near_f32(r, low), (int32_t)(gc_bits_f32(shifted) - gc_bits_f32(GC_SHIFT_F32)));
}

static inline float gc_exp2_f32(float x) {
    x = x < -152.0f ? -152.0f : x;
    x = x > 129.0f ? 129.0f : x;
    const float shifted = x + GC_SHIFT_F32;
    const float r = (x - (shifted - GC_SHIFT_F32)) * 0x1.62e430p-1f;
    return gc_scale_f32(gc_exp_near_f32(r, 0.0f), (int32_t)(gc_bits_f32(shifted) - gc_bits_f32(GC_SHIFT_F32)));
}

static inline float gc_log_f32(float x) {
    const int tiny = x < 0x1p-126f;
    const uint32_t bits = gc_bits_f32(tiny ? x * 0x1p25f : x);
    /* x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2) */
    const int32_t exponent = (int32_t)(bits - 0x3f3504f3u) >> 23;
    const float f = gc_float_f32(bits - ((uint32_t)exponent << 23)) - 1.0f;
    const float k = (float)exponent - (tiny ? 25.0f : 0.0f);
    float p = 0x1.1457a0p-4f;
    p = gc_muladd_f32(p, f, -0x1.de3c12p-4f);
    p = gc_muladd_f32(p, f, 0x1.e6f06cp-4f);
    p = gc_muladd_f32(p, f, -0x1.fc220ap-4f);
    p = gc_muladd_f32(p, f, 0x1.233768p-3f);
    p = gc_muladd_f32(p, f, -0x1.555c4ep-3f);
    p = gc_muladd_f32(p, f, 0x1.99a4b6p-3f);
    p = gc_muladd_f32(p, f, -0x1.000006p-2f);
    p = gc_muladd_f32(p, f, 0x1.555548p-2f);
    const float square = f * f;
    float y = gc_muladd_f32(square * f, p, k * 0x1.0bfbe8p-15f);
    y = f + gc_muladd_f32(square, -0.5f, y);
    float result = gc_muladd_f32(k, 0x1.62e000p-1f, y);
    result = x < INFINITY ? result : x;
    result = x < 0.0f ? NAN : result;
    return x == 0.0f ? -INFINITY : result;
}

/* near 0 an odd polynomial, else 1 - 2 / (exp(2|x|) + 1) */
static inline float gc_tanh_f32(float x) {
    const float a = fabsf(x), z = x * x;
    float p = -0x1.76ac12p-8f;
    p = gc_muladd_f32(p, z, 0x1.5256d6p-6f);
    p = gc_muladd_f32(p, z, -0x1.b84448p-5f);
    p = gc_muladd_f32(p, z, 0x1.110768p-3f);
    p = gc_muladd_f32(p, z, -0x1.555534p-2f);
    const float near = gc_muladd_f32(p * z, a, a);
    const float far = 1.0f - 2.0f / (gc_exp_f32(2.0f * a) + 1.0f);
    return copysignf(a < 0.625f ? near : far, x);
}

/* 1 / (1 + e) or e / (1 + e) with e = exp(-|x|), and a correction for what rounding 1 + e has lost */
static inline float gc_sigmoid_f32(float x) {
    const float e = gc_exp_f32(-fabsf(x));
    const float whole = 1.0f + e, lost = e - (whole - 1.0f);
    const float quotient = (x < 0.0f ? e : 1.0f) / whole;
    const float inverse = x < 0.0f ? 1.0f - quotient : quotient;
    return gc_muladd_f32(-quotient * inverse, lost, quotient);
}

/* near 0 an odd polynomial, else 1 - exp(-Q(|x|)), which is 1 from |x| = 4 on */
static inline float gc_erf_f32(float x) {
    const float z = x * x;
    float p = 0x1.4ae4eap-14f;
    p = gc_muladd_f32(p, z, -0x1.a485f6p-11f);
    p = gc_muladd_f32(p, z, 0x1.5419f6p-8f);
    p = gc_muladd_f32(p, z, -0x1.b7fbb4p-6f);
    p = gc_muladd_f32(p, z, 0x1.ce2d20p-4f);
    p = gc_muladd_f32(p, z, -0x1.81273ep-2f);
    p = gc_muladd_f32(p, z, 0x1.06eba8p-3f);
    const float near = gc_muladd_f32(p, x, x);
    float a = fabsf(x);
    const int is_near = a < 1.0f;
    a = a > 4.0f ? 4.0f : a;
    float q = 0x1.6c068ap-16f;
    q = gc_muladd_f32(q, a, -0x1.ceeaeap-12f);
    q = gc_muladd_f32(q, a, 0x1.1398f8p-8f);
    q = gc_muladd_f32(q, a, -0x1.9d0bd4p-6f);
    q = gc_muladd_f32(q, a, 0x1.bc18d0p-4f);
    q = gc_muladd_f32(q, a, 0x1.4434f0p-1f);
    q = gc_muladd_f32(q, a, 0x1.212c2cp+0f);
    q = gc_muladd_f32(q, a, -0x1.8b3f00p-13f);
    const float far = copysignf(1.0f - gc_exp_f32(-q), x);
    return is_near ? near : far;
}

/* sin(r) and cos(r) of r = x - n pi/2, good for float32; the low bits of `quadrant` are n */
typedef struct gc_turn {
    double sine, cosine;
    uint64_t quadrant;
} gc_turn;

static inline gc_turn gc_turn_of(float argument) {
    const double x = argument;
    const double shifted = gc_muladd_f64(x, 0x1.45f306dc9c883p-1, GC_SHIFT_F64);
    const double n = shifted - GC_SHIFT_F64;
    const double r = (x - n * 0x1.921fb54400000p+0) - n * 0x1.0b4611a626331p-34;
    const double z = r * r;
    double s = 0x1.6cbece7af4c00p-19;
    s = gc_muladd_f64(s, z, -0x1.a00f32b5e08c3p-13);
    s = gc_muladd_f64(s, z, 0x1.11110811efec2p-7);
    s = gc_muladd_f64(s, z, -0x1.5555554c04debp-3);
    double c = 0x1.99e33aec35ac9p-16;
    c = gc_muladd_f64(c, z, -0x1.6c0c222117188p-10);
    c = gc_muladd_f64(c, z, 0x1.55554a0d3f716p-5);
    c = gc_muladd_f64(c, z, -0.5);
    return (gc_turn){gc_muladd_f64(s * z, r, r), gc_muladd_f64(c, z, 1.0), gc_bits_f64(shifted)};
}

static inline float gc_sin_f32(float x) {
    const gc_turn t = gc_turn_of(x);
    const double value = t.quadrant & 1 ? t.cosine : t.sine;
    return x == 0.0f ? x : (float)gc_float_f64(gc_bits_f64(value) ^ ((t.quadrant & 2) << 62));
}

static inline float gc_cos_f32(float x) {
    const gc_turn t = gc_turn_of(x);
    const double value = t.quadrant & 1 ? t.sine : t.cosine;
    return (float)gc_float_f64(gc_bits_f64(value) ^ (((t.quadrant + 1) & 2) << 62));
}

static inline float gc_tan_f32(float x) {
    const gc_turn t = gc_turn_of(x);
    const double ratio = (t.quadrant & 1 ? -t.cosine : t.sine) / (t.quadrant & 1 ? t.sine : t.cosine);
    return x == 0.0f ? x : (float)ratio;
}

static inline float gc_sin_wide_f32(float x) { return fabsf(x) > (float)GC_TRIG_LIMIT ? sinf(x) : gc_sin_f32(x); }
static inline float gc_cos_wide_f32(float x) { return fabsf(x) > (float)GC_TRIG_LIMIT ? cosf(x) : gc_cos_f32(x); }
static inline float gc_tan_wide_f32(float x) { return fabsf(x) > (float)GC_TRIG_LIMIT ? tanf(x) : gc_tan_f32(x); }
static inline double gc_sin_wide_f64(double x) { return fabs(x) > GC_TRIG_LIMIT ? sin(x) : gc_sin_f64(x); }
static inline double gc_cos_wide_f64(double x) { return fabs(x) > GC_TRIG_LIMIT ? cos(x) : gc_cos_f64(x); }

/* Through float64. Signed zeros need no care where the float64 function keeps them. */
static inline float gc_expm1_f32(float x) { return (float)gc_expm1_f64(x); }
static inline float gc_log1p_f32(float x) { return (float)gc_log1p_f64(x); }
static inline float gc_log2_f32(float x) { return (float)(gc_log_f64(x) * 0x1.71547652b82fep+0); }
static inline float gc_log10_f32(float x) { return (float)(gc_log_f64(x) * 0x1.bcb7b1526e50ep-2); }

/* max(x, 0) + log(1 + e) with e = exp(-|x|): the logarithm is 2 atanh(s), s = e / (2 + e) <= 1/3 */
static inline float gc_softplus_f32(float argument) {
    const double x = argument;
    const double e = gc_exp_f64(-fabs(x));
    const double s = e / (2.0 + e);
    const double z = s * s;
    double p = 0x1.be7886fc94a08p-4;
    p = gc_muladd_f64(p, z, 0x1.5f2398f92af10p-4);
    p = gc_muladd_f64(p, z, 0x1.c8bd7b024ff6fp-4);
    p = gc_muladd_f64(p, z, 0x1.248a4d3047cd8p-3);
    p = gc_muladd_f64(p, z, 0x1.9999bd5bf81d4p-3);
    p = gc_muladd_f64(p, z, 0x1.5555553abf69bp-2);
    return (float)((x > 0.0 ? x : x != x ? x : 0.0) + 2.0 * gc_muladd_f64(p * z, s, s));
}

/* (e + e / (e + 1)) / 2 with e = expm1(|x|); beyond 100 the float32 result is infinite */
static inline float gc_sinh_f32(float x) {
    const double a = fabs((double)x);
    const double e = gc_expm1_f64(a > 100.0 ? 100.0 : a);
    return (float)copysign(0.5 * (e + e / (e + 1.0)), (double)x);
}

static inline float gc_cosh_f32(float x) {
    const double a = fabs((double)x);
    const double e = gc_exp_f64(a > 100.0 ? 100.0 : a);
    return (float)(0.5 * e + 0.5 / e);
}

static inline float gc_asinh_f32(float x) {
    const double a = fabs((double)x);
    const double y = gc_log1p_f64(a + a * a / (1.0 + sqrt(a * a + 1.0)));
    return (float)copysign(a < INFINITY ? y : a, (double)x);
}

static inline float gc_acosh_f32(float x) {
    const double t = (double)x - 1.0;
    return (float)(t < 0.0 ? NAN : gc_log1p_f64(t + sqrt(t * (t + 2.0))));
}

static inline float gc_atanh_f32(float x) {
    const double a = fabs((double)x);
    return (float)copysign(0.5 * gc_log1p_f64(2.0 * a / (1.0 - a)), (double)x);
}

/* atan(t) in float64, good for float32, for 0 <= t: by pi/4 + atan((t - 1) / (t + 1)) above tan(pi/8) and 1/t above its inverse */
static inline double gc_atan_near(double t) {
    const int inverse = t > 0x1.3504f333f9de6p+1;
    const int middle = t > 0x1.a827999fcef32p-2;
    const double above = inverse ? -1.0 : t - 1.0;
    const double below = inverse ? t : t + 1.0;
    const double u = middle ? above / below : t;
    const double z = u * u;
    double p = -0x1.3551e8b660a10p-5;
    p = gc_muladd_f64(p, z, 0x1.1dfded6367890p-4);
    p = gc_muladd_f64(p, z, -0x1.706edc93db257p-4);
    p = gc_muladd_f64(p, z, 0x1.c6cfe39022d20p-4);
    p = gc_muladd_f64(p, z, -0x1.2490b5c44cccep-3);
    p = gc_muladd_f64(p, z, 0x1.999991ae17060p-3);
    p = gc_muladd_f64(p, z, -0x1.5555554e94be8p-2);
    const double base = inverse ? 0x1.921fb54442d18p+0 : middle ? 0x1.921fb54442d18p-1 : 0.0;
    return base + gc_muladd_f64(p * z, u, u);
}

static inline float gc_atan_f32(float x) { return copysignf((float)gc_atan_near(fabs((double)x)), x); }

static inline float gc_atan2_f32(float y, float x) {
    const double b = fabs((double)y), a = fabs((double)x);
    const double ratio = a == b ? (a == 0.0 ? 0.0 : 1.0) : b / a; /* 0/0 and inf/inf have a direction too */
    const double angle = gc_atan_near(x != x || y != y ? NAN : ratio);
    return (float)copysign(signbit(x) ? 0x1.921fb54442d18p+1 - angle : angle, (double)y);
}

/* (asin(u) - u) / u with z = u^2, for |u| <= 1/2 */
static inline double gc_asin_tail(double z) {
    double p = 0x1.05cdddcef26d3p-5;
    p = gc_muladd_f64(p, z, -0x1.7689333663217p-9);
    p = gc_muladd_f64(p, z, 0x1.313c4265836edp-6);
    p = gc_muladd_f64(p, z, 0x1.0df8e14b15319p-6);
    p = gc_muladd_f64(p, z, 0x1.702b79ec7a9e8p-6);
    p = gc_muladd_f64(p, z, 0x1.f1aaf64e58df7p-6);
    p = gc_muladd_f64(p, z, 0x1.6db76481a6ee4p-5);
    p = gc_muladd_f64(p, z, 0x1.333331ed311cap-4);
    return gc_muladd_f64(p, z, 0x1.555555565fc66p-3) * z;
}

/* asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)) above 1/2 */
static inline double gc_asin_near(double a, int *far) {
    *far = a > 0.5;
    const double z = *far ? 0.5 - 0.5 * a : a * a;
    const double u = *far ? sqrt(z) : a;
    return gc_muladd_f64(gc_asin_tail(z), u, u);
}

static inline float gc_asin_f32(float x) {
    int far;
    const double y = gc_asin_near(fabs((double)x), &far);
    return (float)copysign(far ? 0x1.921fb54442d18p+0 - 2.0 * y : y, (double)x);
}

static inline float gc_acos_f32(float x) {
    int far;
    const double y = gc_asin_near(fabs((double)x), &far);
    const double acute = far ? 2.0 * y : 0x1.921fb54442d18p+0 - y;
    return (float)(x < 0.0f ? 0x1.921fb54442d18p+1 - acute : acute);
}

/* 1 - erf(x) below 1/2, else exp(-x^2) E(t) with t = (x - 2) / (x + 2), which is 0 from x = 10.06 on */
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

/* exp(y log|x|), with the signs and exceptions of C's pow */
static inline float gc_power_f32(float base, float exponent) {
    const double x = base, y = exponent;
    const double magnitude = gc_exp_f64(y * gc_log_f64(fabs(x)));
    const double half = 0.5 * y;
    const int integral = y == trunc(y);
    const int odd = integral && half != trunc(half);
    double result = signbit(base) && odd ? -magnitude : magnitude;
    result = x < 0.0 && x > -INFINITY && !integral ? NAN : result;
    const int one = y == 0.0 || x == 1.0 || (x == -1.0 && fabs(y) == INFINITY);
    return (float)(one ? 1.0 : result);
}

#endif
