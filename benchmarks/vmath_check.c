/* Checks the elementary functions of graphc/scalar.h against libm in a wider type, and times them.
 *
 *     vmath_check list
 *     vmath_check check FUNCTION STRIDE REACH SAMPLES      prints: worst error, x, y, result, how many were seen
 *     vmath_check digest FUNCTION STRIDE REACH SAMPLES     prints a number made of all results' bits
 *     vmath_check time FUNCTION                            prints results per nanosecond of one core
 *     vmath_check near STRIDE                              prints how often sin, cos, tan differ from those for near x
 *
 * A float32 function of one argument sees every STRIDE-th float32 (1: all of them); every function sees REACH neighbours
 * on either side of all points where implementations change their mind, and SAMPLES random arguments. The error is
 * measured in ulp of the exact result; it is infinite where NaN, infinity, overflow or a sign is wrong. With -fopenmp,
 * all cores work, and GCC takes the references from glibc's vector functions, good to 4 ulp of float64; whatever looks
 * worse than the worst so far is judged again in long double. Says on stderr which part is done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "graphc/scalar.h"

enum { BLOCK = 1024 };

#define ALIGNED __attribute__((aligned(64)))

#define LOOP _Pragma("omp simd") for (int i = 0; i < BLOCK; i++)
#define GC_LOOP _Pragma("GCC ivdep") for (int i = 0; i < BLOCK; i++)

/* The functions ------------------------------------------------------------------------------------------------------- */

/* F(name): gc_NAME_f32 and gc_NAME_f64 are checked against libm's NAME */
#define GROWING(F) F(exp) F(exp2) F(expm1) F(sinh) F(cosh) F(sigmoid)
#define OTHERS(F)                                                                                                   \
    F(log) F(log2) F(log10) F(log1p) F(sin) F(cos) F(tan) F(asin) F(acos) F(atan) F(tanh) F(asinh) F(acosh)         \
    F(atanh) F(erf) F(erfc)
/* gc_op_NAME_f32 and _f64: exact */
#define EXACT(F) F(negative) F(abs) F(sign) F(floor) F(ceil) F(round) F(trunc) F(sqrt) F(relu)
#define PAIRS(F) F(power) F(atan2)

/* libm's functions under names of their own, vectorised where glibc has them so: graphc's functions must not get these. */
#if defined _OPENMP && defined __x86_64__ && defined __GLIBC_PREREQ && !defined __clang__
#if __GLIBC_PREREQ(2, 35)
#define VECTOR(name) __attribute__((simd("notinbranch"))) double fast_##name(double) __asm__(#name);
#define VECTOR_2(name) __attribute__((simd("notinbranch"))) double fast_##name(double, double) __asm__(#name);
#endif
#endif
#ifndef VECTOR
#define VECTOR(name) static inline double fast_##name(double x) { return name(x); }
#define VECTOR_2(name) static inline double fast_##name(double x, double y) { return name(x, y); }
#endif
#define WIDE(name)                                                                                                  \
    VECTOR(name)                                                                                                    \
    static inline double wide_##name(double x) { return fast_##name(x); }                                           \
    static inline long double wide_##name##l(long double x) { return name##l(x); }
VECTOR_2(pow)
VECTOR_2(atan2)
WIDE(exp) WIDE(exp2) WIDE(expm1) WIDE(sinh) WIDE(cosh)
OTHERS(WIDE)
static inline double wide_power(double x, double y) { return fast_pow(x, y); }
static inline long double wide_powerl(long double x, long double y) { return powl(x, y); }
static inline double wide_atan2(double x, double y) { return fast_atan2(x, y); }
static inline long double wide_atan2l(long double x, long double y) { return atan2l(x, y); }

/* T with libm's suffix S */
#define REFERENCES(T, S)                                                                                            \
    static inline T wide_sigmoid##S(T x) { return 1 / (1 + wide_exp##S(-x)); }                                      \
    static inline T wide_negative##S(T x) { return -x; }                                                            \
    static inline T wide_abs##S(T x) { return fabs##S(x); }                                                         \
    static inline T wide_sign##S(T x) { return x != x ? x : (x > 0) - (T)(x < 0); }                                 \
    static inline T wide_floor##S(T x) { return floor##S(x); }                                                      \
    static inline T wide_ceil##S(T x) { return ceil##S(x); }                                                        \
    static inline T wide_round##S(T x) { return nearbyint##S(x); }                                                  \
    static inline T wide_trunc##S(T x) { return trunc##S(x); }                                                      \
    static inline T wide_sqrt##S(T x) { return sqrt##S(x); }                                                        \
    static inline T wide_relu##S(T x) { return x <= 0 ? 0 : x; }
REFERENCES(double, )
REFERENCES(long double, l)
static inline long double wide_softplusl(long double x) { return log1pl(expl(-fabsl(x))) + (x < 0 ? 0 : x); }

typedef struct function {
    const char *name;
    int arguments, is_double;
    int grows; /* far beyond float32, references meet overflow and denormals in float64, which are slow: stop before */
    void (*run)(const void *x, const void *y, void *result);         /* a block, in the type checked */
    void (*refer)(const double *x, const double *y, double *result); /* a block of references for float32 */
    long double (*judge)(long double x, long double y);              /* one reference */
} function;

#define ONE(prefix, name, reference)                                                                                \
    static void run_##name##_f32(const void *x, const void *y, void *result) {                                      \
        const float *a = x;                                                                                         \
        float *to = result;                                                                                         \
        (void)y;                                                                                                    \
        GC_LOOP to[i] = prefix##name##_f32(a[i]);                                                                   \
    }                                                                                                               \
    static void run_##name##_f64(const void *x, const void *y, void *result) {                                      \
        const double *a = x;                                                                                        \
        double *to = result;                                                                                        \
        (void)y;                                                                                                    \
        GC_LOOP to[i] = prefix##name##_f64(a[i]);                                                                   \
    }                                                                                                               \
    static void refer_##name(const double *x, const double *y, double *result) {                                    \
        (void)y;                                                                                                    \
        LOOP result[i] = reference;                                                                                 \
    }                                                                                                               \
    static long double judge_##name(long double x, long double y) { return (void)y, wide_##name##l(x); }
#define TWO(name)                                                                                                   \
    static void run_##name##_f32(const void *x, const void *y, void *result) {                                      \
        const float *a = x, *b = y;                                                                                 \
        float *to = result;                                                                                         \
        GC_LOOP to[i] = gc_##name##_f32(a[i], b[i]);                                                                \
    }                                                                                                               \
    static void run_##name##_f64(const void *x, const void *y, void *result) {                                      \
        const double *a = x, *b = y;                                                                                \
        double *to = result;                                                                                        \
        GC_LOOP to[i] = gc_##name##_f64(a[i], b[i]);                                                                \
    }                                                                                                               \
    static void refer_##name(const double *x, const double *y, double *result) {                                    \
        LOOP result[i] = wide_##name(x[i], y[i]);                                                                   \
    }                                                                                                               \
    static long double judge_##name(long double x, long double y) { return wide_##name##l(x, y); }
#define ONE_ELEMENTARY(name) ONE(gc_, name, wide_##name(x[i]))
#define ONE_EXACT(name) ONE(gc_op_, name, wide_##name(x[i]))
GROWING(ONE_ELEMENTARY)
ONE(gc_, softplus, wide_log1p(wide_exp(-fabs(x[i]))) + (y[i] < 0 ? 0 : y[i]))
OTHERS(ONE_ELEMENTARY)
EXACT(ONE_EXACT)
PAIRS(TWO)

#define ENTRIES(name, arguments, grows)                                                                             \
    {#name "_f32", arguments, 0, grows, run_##name##_f32, refer_##name, judge_##name},                              \
    {#name "_f64", arguments, 1, grows, run_##name##_f64, refer_##name, judge_##name},
#define ENTRIES_GROWING(name) ENTRIES(name, 1, 1)
#define ENTRIES_OTHER(name) ENTRIES(name, 1, 0)
#define ENTRIES_PAIR(name) ENTRIES(name, 2, 0)
static const function functions[] = {
    GROWING(ENTRIES_GROWING) ENTRIES_GROWING(softplus) OTHERS(ENTRIES_OTHER) EXACT(ENTRIES_OTHER) PAIRS(ENTRIES_PAIR)};

/* Errors -------------------------------------------------------------------------------------------------------------- */

/* In ulp of the exact result, for a type with so many significant bits and exponents. */
static inline double error_of(long double got, long double exact, int digits, int lowest, int highest) {
    if (got != got || exact != exact)
        return got != got && exact != exact ? 0 : INFINITY;
    const long double infinite = ldexpl(1, highest);
    if (signbit(got) != signbit(exact) || (fabsl(exact) >= infinite && !isinf(got)))
        return INFINITY;
    if (isinf(got) && fabsl(exact) >= infinite)
        return 0;
    int exponent;
    frexpl(exact, &exponent);
    exponent = exact == 0 || exponent - digits < lowest ? lowest : exponent - digits;
    const long double reached = isinf(got) ? copysignl(infinite, got) : got;
    return (double)fabsl(ldexpl(reached - exact, -exponent));
}

/* The same for float32, good to a few digits, and fit for vectors */
static inline double quick_error(float got, double exact) {
    const double reached = fabs((double)got), magnitude = fabs(exact);
    const double top = reached > 0x1p127 * 1.9999999 ? 0x1p128 : reached;
    const uint64_t exponent = gc_bits_f64(magnitude) >> 52;
    const uint64_t last = exponent < 897 ? 874 : exponent > 1150 ? 1127 : exponent - 23;
    const double difference = fabs(top - (magnitude > 0x1p128 ? 0x1p128 : magnitude)) / gc_float_f64(last << 52);
    double error = copysign(1, got) == copysign(1, exact) ? difference : INFINITY;
    error = magnitude >= 0x1p128 && reached < INFINITY ? INFINITY : error;
    error = reached != reached ? INFINITY : error;
    return exact != exact ? (reached != reached ? 0 : INFINITY) : error;
}

typedef struct worst {
    double error, x, y, got;
    uint64_t seen;
} worst;

static double judged(const function *f, double x, double y, double got) {
    const long double exact = f->judge(x, y);
    return f->is_double ? error_of(got, exact, 53, -1074, 1024) : error_of(got, exact, 24, -149, 128);
}

static void keep(const function *f, worst *w, double x, double y, double got) {
    const double error = judged(f, x, y, got);
    if (error > w->error)
        *w = (worst){error, x, y, got, w->seen};
}

static void check_f32(const function *f, const float *x, const float *y, worst *w) {
    ALIGNED float got[BLOCK];
    ALIGNED double wide_x[BLOCK], bounded_x[BLOCK], wide_y[BLOCK], exact[BLOCK], error[BLOCK];
    f->run(x, y, got);
    LOOP wide_x[i] = x[i];
    LOOP bounded_x[i] = x[i] < -340 ? -340 : wide_x[i];
    LOOP bounded_x[i] = x[i] > 340 ? 340 : bounded_x[i];
    LOOP wide_y[i] = y[i];
    f->refer(f->grows ? bounded_x : wide_x, f->arguments == 1 ? wide_x : wide_y, exact);
    LOOP error[i] = quick_error(got[i], exact[i]);
    double most = 0;
#pragma omp simd reduction(max : most)
    for (int i = 0; i < BLOCK; i++)
        most = error[i] > most ? error[i] : most;
    for (int i = 0; i < BLOCK && most > w->error; i++)
        if (error[i] > w->error)
            keep(f, w, wide_x[i], wide_y[i], got[i]);
    w->seen += BLOCK;
}

static void check_f64(const function *f, const double *x, const double *y, worst *w) {
    double got[BLOCK];
    f->run(x, y, got);
    for (int i = 0; i < BLOCK; i++)
        keep(f, w, x[i], y[i], got[i]);
    w->seen += BLOCK;
}

/* Arguments ----------------------------------------------------------------------------------------------------------- */

static uint64_t random_bits(uint64_t i) { /* splitmix64 */
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Where implementations change their mind: powers of 2 and their like, multiples of what arguments are reduced by, and
 * the thresholds of vmath.h and vmath_f64.h. */
static const double thresholds[] = {
    0, 0.55, 0.8, 3.95, 10.06, 10.2, 20, 50, 88.72, 88.8, 89, 104, 126, 149, 150, 151, 152, 709.78, 710, 745.13, 746, 1022,
    1074, 1076, 0x1.fffffep127, 0x1.fffffffffffffp1023, INFINITY, NAN};
enum { THRESHOLDS = sizeof thresholds / sizeof *thresholds, POINTS = 4 * 2098 + 4 * 3000 + THRESHOLDS };

static int points(double *to) {
    int n = 0;
    for (int k = -1074; k < 1024; k++)
        to[n++] = ldexp(1, k), to[n++] = ldexp(1.5, k), to[n++] = ldexp(M_SQRT2, k), to[n++] = ldexp(M_PI_2, k);
    for (int k = 1; k <= 3000; k++)
        to[n++] = k * 0.5 * M_LN2, to[n++] = k * 0.5, to[n++] = k * M_PI_4, to[n++] = k * 1000 * M_PI_4;
    for (int k = 0; k < THRESHOLDS; k++)
        to[n++] = thresholds[k];
    return n;
}

/* Fills a block with the arguments numbered from `first` on, of one of three kinds. */
typedef struct source {
    uint64_t stride, reach;
    uint64_t swept, near, random; /* how many of each kind */
    double points[POINTS];
} source;

static uint64_t near_bits(const source *s, uint64_t i, int is_double) {
    const double point = s->points[i / (4 * s->reach)];
    const uint64_t step = i % (2 * s->reach) - s->reach, sign = i / (2 * s->reach) % 2;
    if (is_double)
        return gc_bits_f64(sign ? -point : point) + step;
    return (uint32_t)(gc_bits_f32((float)(sign ? -point : point)) + step);
}

/* Any bits; or, three times out of four, a size and a second argument that often leave the result in range */
static uint64_t random_x(uint64_t i, int is_double) {
    const uint64_t bits = random_bits(2 * i);
    if (i % 4 == 0)
        return is_double ? bits : bits >> 32;
    const double size = ldexp(1 + (double)(bits >> 12) * 0x1p-52, (int)(bits % 32) - 24);
    const double x = i % 4 == 1 ? 1 + (size - 1) * 0x1p-10 : bits & 2048 ? -size : size;
    return is_double ? gc_bits_f64(x) : gc_bits_f32((float)x);
}

static uint64_t argument(const function *f, const source *s, uint64_t i) {
    if (i < s->swept)
        return i * s->stride;
    const uint64_t bits = i < s->swept + s->near ? near_bits(s, i - s->swept, f->is_double)
                                                 : random_x(i - s->swept - s->near, f->is_double);
    return f->is_double && isnan(gc_float_f64(bits)) ? gc_bits_f64(NAN) : bits; /* libm's pow minds signalling NaN */
}

static uint64_t second_argument(const function *f, const source *s, uint64_t i, double x) {
    const uint64_t bits = random_bits(2 * i + 1);
    if (i < s->swept + s->near) /* a point beside a point */
        return near_bits(s, bits % s->near / (2 * s->reach) * (2 * s->reach) + s->reach, f->is_double);
    const double whole = (double)(int64_t)(bits % 64) - 32, size = ldexp((double)(int64_t)bits, -64);
    const double reach = 1100 / (fabs(log2(fabs(x))) + 1e-9);
    const double y = bits & (1 << 20) ? size * (reach < 1e300 ? reach : 1) : bits & (1 << 21) ? whole : size * 8 * x;
    if ((bits >> 22 & 7) == 0)
        return f->is_double ? random_bits(bits) : random_bits(bits) >> 32;
    return f->is_double ? gc_bits_f64(y) : gc_bits_f32((float)y);
}

typedef struct block {
    ALIGNED float x[BLOCK], y[BLOCK];
    ALIGNED double wide_x[BLOCK], wide_y[BLOCK];
} block;

static void fill(const function *f, const source *s, uint64_t first, block *to) {
    const int swept = first + BLOCK <= s->swept;
    const uint32_t from = (uint32_t)(first * s->stride), stride = (uint32_t)s->stride;
    LOOP to->x[i] = gc_float_f32(from + (uint32_t)i * stride), to->y[i] = 0;
    for (int i = 0; i < BLOCK && !swept; i++) {
        const uint64_t bits = argument(f, s, first + (uint64_t)i);
        to->x[i] = gc_float_f32((uint32_t)bits), to->wide_x[i] = gc_float_f64(bits);
        if (f->arguments == 2) {
            const uint64_t more = second_argument(f, s, first + (uint64_t)i, f->is_double ? to->wide_x[i] : to->x[i]);
            to->y[i] = gc_float_f32((uint32_t)more), to->wide_y[i] = gc_float_f64(more);
        }
    }
}

static const source *source_of(const function *f, char **numbers) {
    static source s;
    s.stride = strtoull(numbers[0], NULL, 10), s.reach = strtoull(numbers[1], NULL, 10);
    s.swept = f->is_double || f->arguments == 2 ? 0 : (0x100000000u + s.stride - 1) / s.stride;
    s.near = 4 * s.reach * (uint64_t)points(s.points);
    s.random = strtoull(numbers[2], NULL, 10);
    return &s;
}

static int64_t blocks_of(const source *s) { return (int64_t)((s->swept + s->near + s->random + BLOCK - 1) / BLOCK); }

/* What thread does which block depends on time; the worst of all, and of equally bad ones the first, do not. */
static int is_worse(worst a, worst b) {
    return a.error > b.error || (a.error == b.error && gc_bits_f64(a.x) < gc_bits_f64(b.x));
}

static worst check(const function *f, const source *s) {
    const int64_t blocks = blocks_of(s);
    int64_t done = 0;
    worst all = {0};
#pragma omp parallel
    {
        worst w = {0};
#pragma omp for schedule(dynamic, 16)
        for (int64_t b = 0; b < blocks; b++) {
            block arguments;
            fill(f, s, (uint64_t)b * BLOCK, &arguments);
            if (f->is_double)
                check_f64(f, arguments.wide_x, arguments.wide_y, &w);
            else
                check_f32(f, arguments.x, arguments.y, &w);
            int64_t now;
#pragma omp atomic capture
            now = ++done;
            if (now % (blocks / 100 + 1) == 0)
                fprintf(stderr, "%.2f\n", (double)now / (double)blocks);
        }
#pragma omp critical
        {
            const uint64_t seen = all.seen + w.seen;
            if (is_worse(w, all))
                all = w;
            all.seen = seen;
        }
    }
    return all;
}

/* All results' bits, with one NaN for all, mixed */
static uint64_t digest(const function *f, const source *s) {
    uint64_t sum = 0;
    for (int64_t b = 0; b < blocks_of(s); b++) {
        block arguments;
        ALIGNED double got[BLOCK];
        fill(f, s, (uint64_t)b * BLOCK, &arguments);
        if (f->is_double)
            f->run(arguments.wide_x, arguments.wide_y, got);
        else
            f->run(arguments.x, arguments.y, got);
        for (int i = 0; i < BLOCK; i++) {
            const double wide = f->is_double ? got[i] : (double)((float *)got)[i];
            sum = random_bits(sum ^ gc_bits_f64(wide == wide ? wide : NAN));
        }
    }
    return sum;
}

/* Time ---------------------------------------------------------------------------------------------------------------- */

/* Results per nanosecond, of this thread's own time: the fastest of many short runs over arguments between 0 and 1. */
static double rate(const function *f) {
    static ALIGNED double x[BLOCK], y[BLOCK], result[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        if (f->is_double)
            x[i] = (i + 0.5) / BLOCK, y[i] = 1 - x[i];
        else
            ((float *)x)[i] = (i + 0.5f) / BLOCK, ((float *)y)[i] = 1 - ((float *)x)[i];
    double least = INFINITY;
    for (int turn = 0; turn < 200; turn++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
        for (int i = 0; i < 32; i++)
            f->run(x, y, result);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        const double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
        least = seconds < least ? seconds : least;
    }
    return 32 * BLOCK / least * 1e-9;
}

static uint64_t near_differences(uint64_t stride) {
    uint64_t differences = 0;
    for (uint64_t bits = 0; bits < 0x100000000u; bits += stride) {
        const float x = gc_float_f32((uint32_t)bits);
        if (fabsf(x) < GC_NEAR_F32)
            differences += gc_bits_f32(gc_sin_f32(x)) != gc_bits_f32(gc_sin_near_f32(x)) ||
                           gc_bits_f32(gc_cos_f32(x)) != gc_bits_f32(gc_cos_near_f32(x)) ||
                           gc_bits_f32(gc_tan_f32(x)) != gc_bits_f32(gc_tan_near_f32(x));
    }
    return differences;
}

int main(int count, char **words) {
    const char *command = count > 1 ? words[1] : "";
    if (count == 3 && strcmp(command, "near") == 0)
        return printf("%" PRIu64 "\n", near_differences(strtoull(words[2], NULL, 10))), 0;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const function *f = functions + i;
        const int named = count > 2 && strcmp(words[2], f->name) == 0;
        if (count == 2 && strcmp(command, "list") == 0)
            printf("%s\n", f->name);
        else if (count == 3 && named && strcmp(command, "time") == 0)
            return printf("%.4f\n", rate(f)), 0;
        else if (count == 6 && named && strcmp(command, "digest") == 0)
            return printf("%016" PRIx64 "\n", digest(f, source_of(f, words + 3))), 0;
        else if (count == 6 && named && strcmp(command, "check") == 0) {
            const worst w = check(f, source_of(f, words + 3));
            return printf("%g %a %a %a %" PRIu64 "\n", w.error, w.x, w.y, w.got, w.seen), 0;
        }
    }
    return count == 2 && strcmp(command, "list") == 0 ? 0 : 2;
}
