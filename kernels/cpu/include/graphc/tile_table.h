/* The tile machine's instruction set: which loop stands for (operation, type, form), and what values it takes.
 *
 * GC_TILE_OPS and the lists of loops are in tile_ops.h. The order of the types and forms in tile_machine.h is that of
 * `graphc/backends/tile/words.py`.
 */
#ifndef GRAPHC_TILE_TABLE_H
#define GRAPHC_TILE_TABLE_H

#include "tile_access.h"
#include "tile_reduce.h"

#define GC_OP(op) GC_OP_##op,
enum { GC_TILE_OPS(GC_OP) GC_OPS };
#undef GC_OP

/* What an instruction does besides computing. */
enum { GC_COMPUTES, GC_READS, GC_WRITES, GC_NUMBERS, GC_DRAWS, GC_STARTS, GC_STEPS, GC_FINISHES };

enum { GC_STATE = 16 }; /* bytes of a reduction's state for one row element */

typedef struct gc_entry {
    gc_loop run;
    uint8_t kind, sizes[4]; /* of an element of target, a, b, c; 0 where there is none */
} gc_entry;

#define GC_AT(op, T, form) [GC_OP_##op][GC_TYPE_##T][GC_##form]
#define GC_S(T) sizeof(gc_##T)
#define GC_UNARY_ENTRY(op, D, A) GC_AT(op, A, VV) = {gc_loop_##op##_##A, GC_COMPUTES, {GC_S(D), GC_S(A), 0, 0}},
#define GC_PAIR_ENTRY(op, D, T) GC_AT(op, T, VV) = {gc_loop_##op##_##T##_vv, GC_COMPUTES, {GC_S(D), GC_S(T), GC_S(T), 0}},
#define GC_RIGHT_ENTRY(op, D, T)                                                                                       \
    GC_PAIR_ENTRY(op, D, T)                                                                                            \
    GC_AT(op, T, VS) = {gc_loop_##op##_##T##_vs, GC_COMPUTES, {GC_S(D), GC_S(T), GC_S(T), 0}},                         \
    GC_AT(op, T, VR) = {gc_loop_##op##_##T##_vr, GC_COMPUTES, {GC_S(D), GC_S(T), GC_S(T), 0}},
#define GC_BOTH_ENTRY(op, T)                                                                                           \
    GC_RIGHT_ENTRY(op, T, T)                                                                                           \
    GC_AT(op, T, SV) = {gc_loop_##op##_##T##_sv, GC_COMPUTES, {GC_S(T), GC_S(T), GC_S(T), 0}},                         \
    GC_AT(op, T, RV) = {gc_loop_##op##_##T##_rv, GC_COMPUTES, {GC_S(T), GC_S(T), GC_S(T), 0}},

#define GC_UNARY_SAME(op, T) GC_UNARY_ENTRY(op, T, T)
#define GC_UNARY_TO_BOOL(op, T) GC_UNARY_ENTRY(op, u8, T)
#define GC_PAIR_SAME(op, T) GC_PAIR_ENTRY(op, T, T)
#define GC_PAIR_TO_BOOL(op, T) GC_PAIR_ENTRY(op, u8, T)
#define GC_RIGHT_SAME(op, T) GC_RIGHT_ENTRY(op, T, T)
#define GC_RIGHT_TO_BOOL(op, T) GC_RIGHT_ENTRY(op, u8, T)
#define GC_CAST_ENTRY(D, A) GC_UNARY_ENTRY(to_##D, D, A)
#define GC_CASTS_FROM(A)                                                                                               \
    GC_CAST_ENTRY(u8, A) GC_CAST_ENTRY(i32, A) GC_CAST_ENTRY(u32, A) GC_CAST_ENTRY(i64, A) GC_CAST_ENTRY(f32, A)       \
    GC_CAST_ENTRY(f64, A) GC_UNARY_ENTRY(to_bool, u8, A)

#define GC_WHERE_ENTRY(T, form, loop)                                                                                  \
    GC_AT(where, T, form) = {gc_loop_where_##T##_##loop, GC_COMPUTES, {GC_S(T), 1, GC_S(T), GC_S(T)}},
#define GC_FUSED_ENTRY(op, T, form, loop)                                                                              \
    GC_AT(op, T, form) = {gc_loop_##op##_##T##_##loop, GC_COMPUTES, {GC_S(T), GC_S(T), GC_S(T), GC_S(T)}},
#define GC_FUSED_ENTRIES(op, T)                                                                                        \
    GC_FUSED_ENTRY(op, T, VV, vv) GC_FUSED_ENTRY(op, T, VS, vs) GC_FUSED_ENTRY(op, T, SV, sv) GC_FUSED_ENTRY(op, T, SS, ss)
#define GC_BITS_ENTRIES(T) /* for the types that stand for all of their size */                                        \
    GC_AT(load, T, VV) = {gc_loop_load, GC_READS, {GC_S(T), 0, 0, 0}},                                                 \
    GC_AT(load_over, T, VV) = {gc_loop_load_over, GC_READS, {GC_S(T), GC_S(T), 0, 0}},                                 \
    GC_AT(bind, T, VV) = {gc_loop_bind, GC_WRITES, {0, GC_S(T), 0, 0}},                                                \
    GC_AT(store, T, VV) = {gc_loop_store, GC_WRITES, {0, GC_S(T), 0, 0}},                                              \
    GC_AT(copy, T, VV) = {gc_loop_copy_##T, GC_COMPUTES, {GC_S(T), GC_S(T), 0, 0}},                                    \
    GC_AT(repeat, T, VS) = {gc_loop_repeat_##T##_vs, GC_COMPUTES, {GC_S(T), GC_S(T), 0, 0}},                           \
    GC_AT(repeat, T, VR) = {gc_loop_repeat_##T##_vr, GC_COMPUTES, {GC_S(T), GC_S(T), 0, 0}},
#define GC_CHOICE_ENTRIES(T)                                                                                           \
    GC_WHERE_ENTRY(T, VV, vv) GC_WHERE_ENTRY(T, VS, vs) GC_WHERE_ENTRY(T, SV, sv) GC_WHERE_ENTRY(T, SS, ss)

#define GC_REDUCE_ENTRIES(op, T, finish)                                                                               \
    GC_AT(op##_start, T, VV) = {gc_loop_##op##_start_##T, GC_STARTS, {GC_STATE, 0, 0, 0}},                             \
    GC_AT(op##_step, T, VV) = {gc_loop_##op##_step_##T, GC_STEPS, {GC_STATE, GC_S(T), 0, 0}},                          \
    GC_AT(op##_finish, T, VV) = {gc_loop_##finish##_##T, GC_FINISHES, {GC_S(T), GC_STATE, 0, 0}},
#define GC_ANY_TYPE(T)                                                                                                 \
    GC_NUMBER_OPS(GC_UNARY_SAME, T) GC_FLOOR_OPS(GC_PAIR_SAME, T) GC_CASTS_FROM(T)                                     \
    GC_REDUCE_ENTRIES(max, T, finish) GC_REDUCE_ENTRIES(min, T, finish)                                                \
    GC_AT(iota, T, VV) = {gc_loop_iota_##T, GC_NUMBERS, {GC_S(T), 0, 0, 0}},
#define GC_WIDE_ENTRIES(T) GC_RING_OPS(GC_RIGHT_SAME, T) GC_DIFFERENCE_OPS(GC_BOTH_ENTRY, T) GC_COMPARE_OPS(GC_RIGHT_TO_BOOL, T)
#define GC_NARROW_ENTRIES(T) GC_RING_OPS(GC_PAIR_SAME, T) GC_DIFFERENCE_OPS(GC_PAIR_SAME, T) GC_COMPARE_OPS(GC_PAIR_TO_BOOL, T)
#define GC_INTEGER_ENTRIES(T)                                                                                          \
    GC_BIT_OPS(GC_PAIR_SAME, T) GC_INVERT_OPS(GC_UNARY_SAME, T) GC_REDUCE_ENTRIES(sum, T, finish)
#define GC_FLOAT_ENTRIES(T)                                                                                            \
    GC_ROUNDING_OPS(GC_UNARY_SAME, T) GC_TEST_OPS(GC_UNARY_TO_BOOL, T) GC_ELEMENTARY_OPS(GC_UNARY_SAME, T)             \
    GC_TURNING_OPS(GC_UNARY_SAME, T) GC_ANGLE_OPS(GC_PAIR_SAME, T) GC_QUOTIENT_OPS(GC_BOTH_ENTRY, T)                                   \
    GC_REDUCE_ENTRIES(sum, T, sum_finish)

static const gc_entry gc_entries[GC_OPS][GC_TYPES][GC_FORMS] = {
    GC_BITS_ENTRIES(u8) GC_BITS_ENTRIES(u16) GC_BITS_ENTRIES(u32) GC_BITS_ENTRIES(i64)
    GC_CHOICE_ENTRIES(u8) GC_CHOICE_ENTRIES(u32) GC_CHOICE_ENTRIES(i64)
    GC_AT(random, u32, VV) = {gc_loop_random, GC_DRAWS, {4, 0, 0, 0}},
    GC_ANY_TYPE(u8) GC_ANY_TYPE(i32) GC_ANY_TYPE(u32) GC_ANY_TYPE(i64) GC_ANY_TYPE(f32) GC_ANY_TYPE(f64)
    GC_WIDE_ENTRIES(i32) GC_WIDE_ENTRIES(i64) GC_WIDE_ENTRIES(f32) GC_WIDE_ENTRIES(f64)
    GC_NARROW_ENTRIES(u8) GC_NARROW_ENTRIES(u32)
    GC_INTEGER_ENTRIES(u8) GC_INTEGER_ENTRIES(i32) GC_INTEGER_ENTRIES(u32) GC_INTEGER_ENTRIES(i64)
    GC_FLOAT_ENTRIES(f32) GC_FLOAT_ENTRIES(f64)
    GC_FUSED_OPS(GC_FUSED_ENTRIES, f32) GC_FUSED_OPS(GC_FUSED_ENTRIES, f64)
    GC_NOT_OPS(GC_UNARY_SAME, u8)
    GC_UNARY_ENTRY(to_i8, i8, i32) GC_UNARY_ENTRY(to_i32, i32, i8) GC_UNARY_ENTRY(wrap_i8, i32, i32)
    GC_UNARY_ENTRY(to_bf16, u16, f32) GC_UNARY_ENTRY(to_f16, u16, f32)
    GC_UNARY_ENTRY(from_bf16, f32, u16) GC_UNARY_ENTRY(from_f16, f32, u16)
    GC_UNARY_ENTRY(round_bf16, f32, f32) GC_UNARY_ENTRY(round_f16, f32, f32) GC_UNARY_ENTRY(to_odd, f32, f64)
};

#endif
