/* The tile machine's elementwise loops: for each scalar operation and type, a loop over a whole value.
 *
 * A loop may write over one of its own arguments (the same element, never another), which `ivdep` tells the compiler.
 */
#ifndef GRAPHC_TILE_LOOPS_H
#define GRAPHC_TILE_LOOPS_H

#include "convert.h"
#include "scalar.h"
#include "tile_machine.h"
#include "tile_ops.h"

typedef uint8_t gc_u8;
typedef int8_t gc_i8;
typedef uint16_t gc_u16;
typedef int32_t gc_i32;
typedef uint32_t gc_u32;
typedef int64_t gc_i64;
typedef float gc_f32;
typedef double gc_f64;
typedef uint16_t __attribute__((may_alias)) gc_raw16; /* the bits of any type of that size */
typedef uint32_t __attribute__((may_alias)) gc_raw32;
typedef uint64_t __attribute__((may_alias)) gc_raw64;

/* clang knows the promise only as a demand, and warns of every loop that it does not vectorise */
#ifdef __clang__
#define GC_EACH for (int64_t i = 0; i < n; i++)
#else
#define GC_EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#endif
#define GC_LOOP(name) static void gc_loop_##name(const gc_machine *m, const gc_instruction *x)
#define GC_APART static __attribute__((noinline)) void

/* D name(A) */
#define GC_UNARY(name, D, A, expression)                                                                               \
    GC_LOOP(name) {                                                                                                    \
        const int64_t n = m->count[x->level];                                                                          \
        gc_##D *const d = (gc_##D *)m->value[x->target];                                                               \
        const gc_##A *const a = (const gc_##A *)m->value[x->a];                                                        \
        GC_EACH d[i] = (gc_##D)expression(a[i]);                                                                       \
    }

/* D name(A, A), both values of the instruction's level */
#define GC_BINARY(name, D, A, expression)                                                                              \
    GC_APART gc_pairs_##name(gc_##D *d, const gc_##A *a, const gc_##A *b, int64_t n) {                                 \
        GC_EACH d[i] = expression(a[i], b[i]);                                                                         \
    }                                                                                                                  \
    GC_LOOP(name##_vv) {                                                                                               \
        gc_pairs_##name((gc_##D *)m->value[x->target], (const gc_##A *)m->value[x->a],                                 \
                        (const gc_##A *)m->value[x->b], m->count[x->level]);                                           \
    }

/* the second argument one element, or a row value */
#define GC_BINARY_RIGHT(name, D, A, expression)                                                                        \
    GC_APART gc_right_##name(gc_##D *d, const gc_##A *a, gc_##A s, int64_t n) { GC_EACH d[i] = expression(a[i], s); }  \
    GC_LOOP(name##_vs) {                                                                                               \
        gc_right_##name((gc_##D *)m->value[x->target], (const gc_##A *)m->value[x->a],                                 \
                        *(const gc_##A *)m->value[x->b], m->count[x->level]);                                          \
    }                                                                                                                  \
    GC_LOOP(name##_vr) { GC_BY_ROWS(name, right, D, A, a, b, (d, v, repeated, n)) }

/* the first argument one element, or a row value */
#define GC_BINARY_LEFT(name, D, A, expression)                                                                         \
    GC_APART gc_left_##name(gc_##D *d, const gc_##A *a, gc_##A s, int64_t n) { GC_EACH d[i] = expression(s, a[i]); }   \
    GC_LOOP(name##_sv) {                                                                                               \
        gc_left_##name((gc_##D *)m->value[x->target], (const gc_##A *)m->value[x->b],                                  \
                       *(const gc_##A *)m->value[x->a], m->count[x->level]);                                           \
    }                                                                                                                  \
    GC_LOOP(name##_rv) { GC_BY_ROWS(name, left, D, A, b, a, (d, repeated, v, n)) }

enum { GC_LOT = 512 }; /* elements of a row value that are repeated at a time where rows are short */

/* `full` is an argument of all elements, `row` one of row elements. Long rows are taken one at a time. For short ones the
 * row value's elements are first written out side by side. */
#define GC_BY_ROWS(name, side, D, A, full, row, arguments)                                                             \
    const int64_t outer = m->length[GC_OUTER], reduce = m->length[GC_REDUCE], inner = m->length[GC_INNER];             \
    gc_##D *d = (gc_##D *)m->value[x->target];                                                                         \
    const gc_##A *v = (const gc_##A *)m->value[x->full], *r = (const gc_##A *)m->value[x->row];                        \
    if (inner == 1 && reduce >= 64) {                                                                                  \
        for (int64_t o = 0; o < outer; o++)                                                                            \
            gc_##side##_##name(d + o * reduce, v + o * reduce, r[o], reduce);                                          \
        return;                                                                                                        \
    }                                                                                                                  \
    gc_##A lot[GC_LOT + 64];                                                                                           \
    if (inner == 1) {                                                                                                  \
        for (int64_t o = 0, rows; o < outer; o += rows) {                                                              \
            rows = outer - o < GC_LOT / reduce ? outer - o : GC_LOT / reduce;                                          \
            gc_repeat_each_##A(lot, r + o, rows, reduce);                                                              \
            const gc_##A *const repeated = lot;                                                                        \
            const int64_t n = rows * reduce;                                                                           \
            gc_pairs_##name arguments;                                                                                 \
            d += n, v += n;                                                                                            \
        }                                                                                                              \
        return;                                                                                                        \
    }                                                                                                                  \
    for (int64_t o = 0; o < outer; o++) {                                                                              \
        const gc_##A *repeated = r + o * inner;                                                                        \
        const int64_t times = inner < 128 && reduce > 1 ? (GC_LOT / inner < reduce ? GC_LOT / inner : reduce) : 1;     \
        if (times > 1)                                                                                                 \
            repeated = gc_repeat_all_##A(lot, repeated, inner, times);                                                 \
        for (int64_t done = 0, lots; done < reduce; done += lots) {                                                    \
            lots = reduce - done < times ? reduce - done : times;                                                      \
            const int64_t n = lots * inner;                                                                            \
            gc_pairs_##name arguments;                                                                                 \
            d += n, v += n;                                                                                            \
        }                                                                                                              \
    }

/* Each element `times` times, at most 64. Writes up to 63 elements too many, over which the next row goes. */
#define GC_REPEATING(A)                                                                                                \
    GC_APART gc_repeat_each_##A(gc_##A *to, const gc_##A *from, int64_t count, int64_t times) {              \
        for (int64_t o = 0; o < count; o++, to += times)                                                               \
            for (int64_t at = 0; at < times; at += 16)                                                                 \
                for (int64_t i = 0; i < 16; i++)                                                                       \
                    to[at + i] = from[o];                                                                              \
    }                                                                                                                  \
    static __attribute__((noinline)) const gc_##A *gc_repeat_all_##A(gc_##A *to, const gc_##A *from, int64_t count, int64_t times) {      \
        for (int64_t o = 0; o < times; o++)                                                                            \
            for (int64_t i = 0; i < count; i++)                                                                        \
                to[o * count + i] = from[i];                                                                           \
        return to;                                                                                                     \
    }

GC_REPEATING(f32)
GC_REPEATING(f64)
GC_REPEATING(i32)
GC_REPEATING(i64)

/* Unary operations ---------------------------------------------------------------------------------------------------- */

#define GC_UNARY_OP(op, T) GC_UNARY(op##_##T, T, T, gc_op_##op##_##T)
#define GC_UNARY_TEST(op, T) GC_UNARY(op##_##T, u8, T, gc_op_##op##_##T)
#define GC_UNARY_ELEMENTARY(op, T) GC_UNARY(op##_##T, T, T, gc_##op##_##T)

GC_NUMBER_OPS(GC_UNARY_OP, f32)
GC_NUMBER_OPS(GC_UNARY_OP, f64)
GC_NUMBER_OPS(GC_UNARY_OP, i32)
GC_NUMBER_OPS(GC_UNARY_OP, i64)
GC_NUMBER_OPS(GC_UNARY_OP, u32)
GC_NUMBER_OPS(GC_UNARY_OP, u8)
GC_ROUNDING_OPS(GC_UNARY_OP, f32)
GC_ROUNDING_OPS(GC_UNARY_OP, f64)
GC_TEST_OPS(GC_UNARY_TEST, f32)
GC_TEST_OPS(GC_UNARY_TEST, f64)
GC_ELEMENTARY_OPS(GC_UNARY_ELEMENTARY, f32)
GC_ELEMENTARY_OPS(GC_UNARY_ELEMENTARY, f64)
GC_INVERT_OPS(GC_UNARY_OP, i32)
GC_INVERT_OPS(GC_UNARY_OP, i64)
GC_INVERT_OPS(GC_UNARY_OP, u32)
GC_INVERT_OPS(GC_UNARY_OP, u8)
GC_NOT_OPS(GC_UNARY_OP, u8)

/* By blocks: the functions for every argument take longer than those for near ones, in float64 much longer. */
#define GC_UNARY_BY_BLOCKS(op, T, limit)                                                                               \
    GC_LOOP(op##_##T) {                                                                                                \
        const int64_t total = m->count[x->level];                                                                      \
        gc_##T *d = (gc_##T *)m->value[x->target];                                                                     \
        const gc_##T *a = (const gc_##T *)m->value[x->a];                                                              \
        for (int64_t n, at = 0; at < total; at += n, d += n, a += n) {                                                 \
            n = total - at < 128 ? total - at : 128;                                                                   \
            int wide = 0;                                                                                              \
            for (int64_t i = 0; i < n; i++)                                                                            \
                wide |= gc_op_abs_##T(a[i]) >= limit;                                                                  \
            if (wide)                                                                                                  \
                GC_EACH d[i] = gc_##op##_##T(a[i]);                                                                    \
            else                                                                                                       \
                GC_EACH d[i] = gc_##op##_near_##T(a[i]);                                                               \
        }                                                                                                              \
    }

GC_UNARY_BY_BLOCKS(sin, f32, GC_NEAR_F32)
GC_UNARY_BY_BLOCKS(cos, f32, GC_NEAR_F32)
GC_UNARY_BY_BLOCKS(tan, f32, GC_NEAR_F32)
GC_UNARY_BY_BLOCKS(sin, f64, GC_NEAR_F64)
GC_UNARY_BY_BLOCKS(cos, f64, GC_NEAR_F64)
GC_UNARY_ELEMENTARY(tan, f64)

/* Binary operations --------------------------------------------------------------------------------------------------- */

#define GC_PAIR_OP(op, T) GC_BINARY(op##_##T, T, T, gc_op_##op##_##T)
#define GC_PAIR_ELEMENTARY(op, T) GC_BINARY(op##_##T, T, T, gc_##op##_##T)
#define GC_PAIR_COMPARE(op, T) GC_BINARY(op##_##T, u8, T, gc_op_##op##_##T)
#define GC_RIGHT_OP(op, T) GC_PAIR_OP(op, T) GC_BINARY_RIGHT(op##_##T, T, T, gc_op_##op##_##T)
#define GC_RIGHT_COMPARE(op, T) GC_PAIR_COMPARE(op, T) GC_BINARY_RIGHT(op##_##T, u8, T, gc_op_##op##_##T)
#define GC_BOTH_OP(op, T) GC_RIGHT_OP(op, T) GC_BINARY_LEFT(op##_##T, T, T, gc_op_##op##_##T)

/* Types with all forms. Commutative operations and comparisons need one side only: the assembler swaps. */
#define GC_WIDE_TYPE(T) GC_RING_OPS(GC_RIGHT_OP, T) GC_DIFFERENCE_OPS(GC_BOTH_OP, T) GC_COMPARE_OPS(GC_RIGHT_COMPARE, T)
#define GC_NARROW_TYPE(T) GC_RING_OPS(GC_PAIR_OP, T) GC_DIFFERENCE_OPS(GC_PAIR_OP, T) GC_COMPARE_OPS(GC_PAIR_COMPARE, T)

static inline float gc_op_power_f32(float a, float b) { return gc_power_f32(a, b); }
static inline double gc_op_power_f64(double a, double b) { return gc_power_f64(a, b); }

GC_WIDE_TYPE(f32)
GC_WIDE_TYPE(f64)
GC_WIDE_TYPE(i32)
GC_WIDE_TYPE(i64)
GC_NARROW_TYPE(u32)
GC_NARROW_TYPE(u8)
GC_QUOTIENT_OPS(GC_BOTH_OP, f32)
GC_QUOTIENT_OPS(GC_BOTH_OP, f64)
GC_FLOOR_OPS(GC_PAIR_OP, f32)
GC_FLOOR_OPS(GC_PAIR_OP, f64)
GC_FLOOR_OPS(GC_PAIR_OP, i32)
GC_FLOOR_OPS(GC_PAIR_OP, i64)
GC_FLOOR_OPS(GC_PAIR_OP, u32)
GC_FLOOR_OPS(GC_PAIR_OP, u8)
GC_BIT_OPS(GC_PAIR_OP, i32)
GC_BIT_OPS(GC_PAIR_OP, i64)
GC_BIT_OPS(GC_PAIR_OP, u32)
GC_BIT_OPS(GC_PAIR_OP, u8)
GC_ANGLE_OPS(GC_PAIR_ELEMENTARY, f32)
GC_ANGLE_OPS(GC_PAIR_ELEMENTARY, f64)

/* Two operations in one walk, each rounded on its own: second(first(a, b), c), or second(c, first(a, b)) ------------------ */

#define GC_FUSED_FORM(name, T, expression, form, B, C)                                                                 \
    GC_LOOP(name##_##T##_##form) {                                                                                     \
        const int64_t n = m->count[x->level];                                                                          \
        gc_##T *const d = (gc_##T *)m->value[x->target];                                                               \
        const gc_##T *const a = (const gc_##T *)m->value[x->a];                                                        \
        const gc_##T *const b = (const gc_##T *)m->value[x->b], *const c = (const gc_##T *)m->value[x->c];             \
        const gc_##T one_b = *b, one_c = *c;                                                                           \
        (void)one_b, (void)one_c;                                                                                      \
        GC_EACH d[i] = expression(a[i], B, C);                                                                         \
    }
#define GC_FUSED_OP(name, T)                                                                                           \
    GC_FUSED_FORM(name, T, GC_DO_##name, vv, b[i], c[i])                                                               \
    GC_FUSED_FORM(name, T, GC_DO_##name, vs, b[i], one_c)                                                              \
    GC_FUSED_FORM(name, T, GC_DO_##name, sv, one_b, c[i])                                                              \
    GC_FUSED_FORM(name, T, GC_DO_##name, ss, one_b, one_c)

#define GC_DO_multiply_add(a, b, c) ((a) * (b) + (c))
#define GC_DO_multiply_subtract(a, b, c) ((a) * (b) - (c))
#define GC_DO_subtract_product(a, b, c) ((c) - (a) * (b))
#define GC_DO_multiply_multiply(a, b, c) ((a) * (b) * (c))
#define GC_DO_add_add(a, b, c) ((a) + (b) + (c))
#define GC_DO_add_multiply(a, b, c) (((a) + (b)) * (c))
#define GC_DO_subtract_multiply(a, b, c) (((a) - (b)) * (c))
#define GC_FUSED_OPS(F, T)                                                                                             \
    F(multiply_add, T) F(multiply_subtract, T) F(subtract_product, T) F(multiply_multiply, T) F(add_add, T)            \
    F(add_multiply, T) F(subtract_multiply, T)

GC_FUSED_OPS(GC_FUSED_OP, f32)
GC_FUSED_OPS(GC_FUSED_OP, f64)

/* where: bits alone matter --------------------------------------------------------------------------------------------- */

#define GC_CHOOSING(name, A, first, second)                                                                            \
    GC_LOOP(where_##name) {                                                                                            \
        const int64_t n = m->count[x->level];                                                                          \
        A *const d = (A *)m->value[x->target];                                                                         \
        const uint8_t *const condition = (const uint8_t *)m->value[x->a];                                              \
        const A *const a = (const A *)m->value[x->b], *const b = (const A *)m->value[x->c];                            \
        const A one_a = *a, one_b = *b;                                                                                \
        (void)one_a, (void)one_b;                                                                                      \
        GC_EACH d[i] = condition[i] ? first : second;                                                                  \
    }
#define GC_CHOOSING_TYPE(name, A)                                                                                      \
    GC_CHOOSING(name##_vv, A, a[i], b[i])                                                                              \
    GC_CHOOSING(name##_vs, A, a[i], one_b)                                                                             \
    GC_CHOOSING(name##_sv, A, one_a, b[i])                                                                             \
    GC_CHOOSING(name##_ss, A, one_a, one_b)

GC_CHOOSING_TYPE(u8, uint8_t)
GC_CHOOSING_TYPE(u32, gc_raw32)
GC_CHOOSING_TYPE(i64, gc_raw64)

/* Conversions --------------------------------------------------------------------------------------------------------- */

#define GC_NONZERO(x) ((x) != 0)
#define GC_CAST_TO(T, F) F(T, u8) F(T, i32) F(T, u32) F(T, i64) F(T, f32) F(T, f64)
#define GC_CAST(T, A) GC_UNARY(to_##T##_##A, T, A, (gc_##T))
#define GC_CAST_FROM_INTEGER(A) GC_CAST(u8, A) GC_CAST(i32, A) GC_CAST(u32, A) GC_CAST(i64, A)

GC_CAST_TO(f32, GC_CAST)
GC_CAST_TO(f64, GC_CAST)
GC_CAST_FROM_INTEGER(u8)
GC_CAST_FROM_INTEGER(i32)
GC_CAST_FROM_INTEGER(u32)
GC_CAST_FROM_INTEGER(i64)
GC_UNARY(to_u8_f32, u8, f32, (uint8_t)gc_f32_to_i32)
GC_UNARY(to_u8_f64, u8, f64, (uint8_t)gc_f64_to_i32)
GC_UNARY(to_i32_f32, i32, f32, gc_f32_to_i32)
GC_UNARY(to_i32_f64, i32, f64, gc_f64_to_i32)
GC_UNARY(to_u32_f32, u32, f32, (uint32_t)gc_f32_to_i64)
GC_UNARY(to_u32_f64, u32, f64, (uint32_t)gc_f64_to_i64)
GC_UNARY(to_i64_f32, i64, f32, gc_f32_to_i64)
GC_UNARY(to_i64_f64, i64, f64, gc_f64_to_i64)
GC_UNARY(to_bool_u8, u8, u8, GC_NONZERO)
GC_UNARY(to_bool_i32, u8, i32, GC_NONZERO)
GC_UNARY(to_bool_u32, u8, u32, GC_NONZERO)
GC_UNARY(to_bool_i64, u8, i64, GC_NONZERO)
GC_UNARY(to_bool_f32, u8, f32, GC_NONZERO)
GC_UNARY(to_bool_f64, u8, f64, GC_NONZERO)

/* types that exist in memory only, and rounding to them */
GC_UNARY(to_i8_i32, i8, i32, (int8_t))
GC_UNARY(to_i32_i8, i32, i8, )
GC_UNARY(wrap_i8_i32, i32, i32, (int8_t))
GC_UNARY(to_bf16_f32, u16, f32, gc_to_bf16)
GC_UNARY(to_f16_f32, u16, f32, gc_to_f16)
GC_UNARY(from_bf16_u16, f32, u16, gc_from_bf16)
GC_UNARY(from_f16_u16, f32, u16, gc_from_f16)
GC_UNARY(round_bf16_f32, f32, f32, gc_round_bf16)
GC_UNARY(round_f16_f32, f32, f32, gc_round_f16)
GC_UNARY(to_odd_f64, f32, f64, gc_narrow_to_odd)

/* A value as it is, and one element or a row value as a value of the instruction's level ---------------------------------------------------- */

#define GC_REPEAT(name, A)                                                                                             \
    GC_LOOP(copy_##name) {                                                                                             \
        memmove(m->value[x->target], m->value[x->a], (size_t)m->count[x->level] * sizeof(A));                          \
    }                                                                                                                  \
    GC_LOOP(repeat_##name##_vs) {                                                                                      \
        const int64_t n = m->count[x->level];                                                                          \
        A *const d = (A *)m->value[x->target];                                                                         \
        const A one = *(const A *)m->value[x->a];                                                                      \
        GC_EACH d[i] = one;                                                                                            \
    }                                                                                                                  \
    GC_LOOP(repeat_##name##_vr) {                                                                                      \
        const int64_t outer = m->length[GC_OUTER], reduce = m->length[GC_REDUCE], inner = m->length[GC_INNER];         \
        A *d = (A *)m->value[x->target];                                                                               \
        const A *a = (const A *)m->value[x->a];                                                                        \
        for (int64_t o = 0; o < outer; o++, a += inner)                                                                \
            if (inner == 1)                                                                                            \
                for (int64_t r = 0; r < reduce; r++)                                                                   \
                    *d++ = *a;                                                                                         \
            else                                                                                                       \
                for (int64_t r = 0; r < reduce; r++, d += inner)                                                       \
                    memcpy(d, a, (size_t)inner * sizeof *d);                                                           \
    }

GC_REPEAT(u8, uint8_t)
GC_REPEAT(u16, gc_raw16)
GC_REPEAT(u32, gc_raw32)
GC_REPEAT(i64, gc_raw64)

#endif
