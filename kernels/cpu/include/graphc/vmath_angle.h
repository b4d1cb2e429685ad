/* Trigonometric functions in float32, their inverses, and the inverses of the hyperbolic functions. The rules are those of
 * vmath.h, which includes this header.
 */
#ifndef GRAPHC_VMATH_ANGLE_H
#define GRAPHC_VMATH_ANGLE_H

#include "vmath_f64.h"

/* r and n with x = r + n pi/2; the low bits of `quadrant` are n */
typedef struct gc_turn {
    double r;
    uint32_t quadrant;
} gc_turn;

/* x times 2/pi, which is taken in two parts. The larger x is, the more of the leading bits of 2/pi make nothing but multiples
 * of 4 of it: these are left out, where `huge` says that |x| may be 2^50 or more. */
static inline gc_turn gc_turn_of(float x, int huge) {
    const float a = fabsf(x);
    double high = 0x1.45f306dc9c883p-1, low = -0x1.6b01ec5417056p-55;
    if (huge) {
        high = a < 0x1p50f ? high : -0x1.1b1bbead603d9p-28, low = a < 0x1p50f ? low : 0x1.5f47d4d377037p-82;
        high = a < 0x1p77f ? high : 0x1.4a7f09d5f47d5p-54, low = a < 0x1p77f ? low : -0x1.6447e493ad4cep-109;
        high = a < 0x1p102f ? high : -0x1.505c1596447e5p-81, low = a < 0x1p102f ? low : 0x1.b14acc9e21c82p-135;
    }
    const double wide = x, product = wide * high;
    const double rest = gc_product_rest_f64(wide, high, product);
    const double shifted = product + GC_SHIFT_F64;
    const double turns = (product - (shifted - GC_SHIFT_F64)) + gc_muladd_f64(wide, low, rest);
    return (gc_turn){turns * 0x1.921fb54442d18p+0, (uint32_t)gc_bits_f64(shifted)};
}

/* The sine of r in even quadrants, else the cosine, with the sign of the quadrant. |r| <= pi/4 but for huge arguments.
 * (sin(r) - r) / r^3: degree 3 in r^2, |r| <= 0.953, 2^-31.7; (cos(r) - 1) / r^2: degree 3 in r^2, 2^-29.7 */
static inline float gc_sin_or_cos_f32(float r, uint32_t quadrant) {
    const float z = r * r;
    float s = 0x1.6fe464p-19f;
    s = gc_muladd_f32(s, z, -0x1.a02a20p-13f);
    s = gc_muladd_f32(s, z, 0x1.11114ap-7f);
    s = gc_muladd_f32(s, z, -0x1.555556p-3f);
    const float sine = gc_muladd_f32(r * z, s, r);
    float c = 0x1.93dff4p-16f;
    c = gc_muladd_f32(c, z, -0x1.6be94ep-10f);
    c = gc_muladd_f32(c, z, 0x1.5554cep-5f);
    c = gc_muladd_f32(c, z, -0x1.fffffep-2f);
    const float cosine = gc_muladd_f32(c, z, 1.0f);
    return gc_float_f32(gc_bits_f32(quadrant & 1 ? cosine : sine) ^ (quadrant & 2) << 30);
}

static inline float gc_sin_of_turn_f32(float x, gc_turn turn) {
    const float result = gc_sin_or_cos_f32((float)turn.r, turn.quadrant);
    return x == 0.0f ? x : result;
}

static inline float gc_cos_of_turn_f32(gc_turn turn) { return gc_sin_or_cos_f32((float)turn.r, turn.quadrant + 1); }

/* The quotient of the two in float64; polynomials as above, of degree 3 each, |r| <= pi/4, 2^-37.3 and 2^-32.7 */
static inline float gc_tan_of_turn_f32(float x, gc_turn turn) {
    const double z = turn.r * turn.r;
    double s = 0x1.6cbece7af4c00p-19;
    s = gc_muladd_f64(s, z, -0x1.a00f32b5e08c3p-13);
    s = gc_muladd_f64(s, z, 0x1.11110811efec2p-7);
    s = gc_muladd_f64(s, z, -0x1.5555554c04debp-3);
    double c = 0x1.99e33aec35ac9p-16;
    c = gc_muladd_f64(c, z, -0x1.6c0c222117188p-10);
    c = gc_muladd_f64(c, z, 0x1.55554a0d3f716p-5);
    c = gc_muladd_f64(c, z, -0.5);
    const double sine = gc_muladd_f64(s * z, turn.r, turn.r), cosine = gc_muladd_f64(c, z, 1.0);
    const int odd = turn.quadrant & 1;
    const float result = (float)((odd ? -cosine : sine) / (odd ? sine : cosine));
    return x == 0.0f ? x : result;
}

static inline float gc_sin_f32(float x) { return gc_sin_of_turn_f32(x, gc_turn_of(x, 1)); }
static inline float gc_cos_f32(float x) { return gc_cos_of_turn_f32(gc_turn_of(x, 1)); }
static inline float gc_tan_f32(float x) { return gc_tan_of_turn_f32(x, gc_turn_of(x, 1)); }

/* The same bits for |x| < GC_NEAR_F32, in two thirds of the time */
#define GC_NEAR_F32 0x1p50f
static inline float gc_sin_near_f32(float x) { return gc_sin_of_turn_f32(x, gc_turn_of(x, 0)); }
static inline float gc_cos_near_f32(float x) { return gc_cos_of_turn_f32(gc_turn_of(x, 0)); }
static inline float gc_tan_near_f32(float x) { return gc_tan_of_turn_f32(x, gc_turn_of(x, 0)); }

/* atan(u); (atan(u) - u) / u^3: degree 8 in u^2, |u| <= 1, 2^-28.5 */
static inline float gc_atan_near_f32(float u) {
    const float z = u * u;
    float p = -0x1.d36c1cp-10f;
    p = gc_muladd_f32(p, z, 0x1.642f1ep-7f);
    p = gc_muladd_f32(p, z, -0x1.fd872ep-6f);
    p = gc_muladd_f32(p, z, 0x1.da2e08p-5f);
    p = gc_muladd_f32(p, z, -0x1.580a02p-4f);
    p = gc_muladd_f32(p, z, 0x1.c08c80p-4f);
    p = gc_muladd_f32(p, z, -0x1.242088p-3f);
    p = gc_muladd_f32(p, z, 0x1.9991e4p-3f);
    p = gc_muladd_f32(p, z, -0x1.55553ep-2f);
    return gc_muladd_f32(u * z, p, u);
}

#define GC_HALF_PI_HIGH 0x1.921fb6p+0f
#define GC_HALF_PI_LOW -0x1.777a5cp-25f

/* pi/2 + atan(-1/|x|) above 1 */
static inline float gc_atan_f32(float x) {
    const float a = fabsf(x);
    const int far = a > 1.0f;
    const float near = gc_atan_near_f32((far ? -1.0f : a) / (far ? a : 1.0f));
    return copysignf(far ? GC_HALF_PI_HIGH + (near + GC_HALF_PI_LOW) : near, x);
}

/* A multiple of pi/2, and the angle of the smaller to the larger side added to it or taken from it */
static inline float gc_atan2_f32(float y, float x) {
    const float a = fabsf(x), b = fabsf(y);
    const int steep = b > a, left = signbit(x) != 0;
    const float ratio = (steep ? a : b) / (steep ? b : a);
    const float near = gc_atan_near_f32(a == b ? (a == 0.0f ? 0.0f : 1.0f) : ratio); /* 0/0 and inf/inf have an angle, too */
    const float quarters = steep ? 1.0f : left ? 2.0f : 0.0f;
    const float rest = gc_muladd_f32(quarters, GC_HALF_PI_LOW, steep != left ? -near : near);
    return copysignf(gc_muladd_f32(quarters, GC_HALF_PI_HIGH, rest), y);
}

/* asin(a), or asin(sqrt((1 - a) / 2)) = acos(a) / 2 above 1/2, in two parts; (asin(u) - u) / u^3: degree 4 in u^2, u <= 1/2,
 * 2^-27.6 */
typedef struct gc_arc_f32 {
    float most, rest;
} gc_arc_f32;

static inline gc_arc_f32 gc_arc_of_f32(float a) {
    const int far = a > 0.5f;
    const float z = far ? 0.5f - 0.5f * a : a * a;
    const float root = sqrtf(z), u = far ? root : a;
    float p = 0x1.596d22p-5f;
    p = gc_muladd_f32(p, z, 0x1.8c2db2p-6f);
    p = gc_muladd_f32(p, z, 0x1.747d04p-5f);
    p = gc_muladd_f32(p, z, 0x1.3301fcp-4f);
    p = gc_muladd_f32(p, z, 0x1.5555c8p-3f);
    return (gc_arc_f32){u, u * z * p};
}

static inline float gc_asin_f32(float x) {
    const float a = fabsf(x);
    const gc_arc_f32 arc = gc_arc_of_f32(a);
    const float twice = 2.0f * arc.most, left = GC_HALF_PI_HIGH - twice;
    const float far = left + (((GC_HALF_PI_HIGH - left) - twice) + (GC_HALF_PI_LOW - 2.0f * arc.rest));
    return copysignf(a > 0.5f ? far : arc.most + arc.rest, x);
}

static inline float gc_acos_f32(float x) {
    const float a = fabsf(x);
    const gc_arc_f32 arc = gc_arc_of_f32(a);
    const float near = arc.most + arc.rest;
    const float middle = GC_HALF_PI_HIGH + (GC_HALF_PI_LOW - copysignf(near, x));
    const float obtuse = 2.0f * GC_HALF_PI_HIGH + (2.0f * GC_HALF_PI_LOW - 2.0f * near);
    const float far = x < 0.0f ? obtuse : 2.0f * near;
    return a > 0.5f ? far : middle;
}

/* Inverse hyperbolic functions, in float64 --------------------------------------------------------------------------- */

/* log(x) for finite x >= 2^-1022; log(1 + f) / f: degree 12, -0.293 <= f <= 0.415, 2^-35.8 */
static inline double gc_log_short_f64(double x) {
    const uint64_t bits = gc_bits_f64(x);
    /* k is biased by 1024 to shift without a sign */
    const uint64_t biased = (bits - 0x3fe6a09e667f3bcdULL + (1024ULL << 52)) >> 52;
    const double f = gc_float_f64(bits - ((biased - 1024) << 52)) - 1.0;
    const double k = gc_float_f64(gc_bits_f64(GC_SHIFT_F64) + biased) - (GC_SHIFT_F64 + 1024.0);
    double p = 0x1.b756505138ae2p-5;
    p = gc_muladd_f64(p, f, -0x1.958a3bb479368p-4);
    p = gc_muladd_f64(p, f, 0x1.9af510f5041d9p-4);
    p = gc_muladd_f64(p, f, -0x1.967077d9561a7p-4);
    p = gc_muladd_f64(p, f, 0x1.c2c4c489c4aa7p-4);
    p = gc_muladd_f64(p, f, -0x1.ffe5a83911025p-4);
    p = gc_muladd_f64(p, f, 0x1.24aded25d18bfp-3);
    p = gc_muladd_f64(p, f, -0x1.5556c88c0378ap-3);
    p = gc_muladd_f64(p, f, 0x1.9998fa198b2ccp-3);
    p = gc_muladd_f64(p, f, -0x1.fffff80f24e79p-3);
    p = gc_muladd_f64(p, f, 0x1.55555601295aap-2);
    p = gc_muladd_f64(p, f, -0x1.0000000286718p-1);
    p = gc_muladd_f64(p, f, 0x1.ffffffffe121cp-1);
    return gc_muladd_f64(k, 0x1.62e42fefa39efp-1, f * p);
}

static inline float gc_asinh_f32(float x) {
    const double a = fabs((double)x), square = a * a;
    const double far = gc_log_short_f64(a + sqrt(square + 1.0));
    const double near = gc_muladd_f64(square * a, -0x1.5555555555555p-3, a);
    const float result = (float)(a < 0x1p-9 ? near : far);
    return copysignf(fabsf(x) < INFINITY ? result : x, x);
}

static inline float gc_acosh_f32(float x) {
    const double wide = x;
    const float result = (float)gc_log_short_f64(wide + sqrt((wide - 1.0) * (wide + 1.0)));
    return x >= 1.0f ? (x < INFINITY ? result : x) : NAN;
}

static inline float gc_atanh_f32(float x) {
    const double a = fabs((double)x);
    const double far = 0.5 * gc_log_short_f64((1.0 + a) / (1.0 - a));
    const double near = gc_muladd_f64(a * a * a, 0x1.5555555555555p-2, a);
    float result = (float)(a < 0x1p-9 ? near : far);
    result = fabsf(x) < 1.0f ? result : NAN;
    return copysignf(fabsf(x) == 1.0f ? INFINITY : result, x);
}

#endif
