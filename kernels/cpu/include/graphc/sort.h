/* Sorting rows, the first of them alone, and searching in sorted rows.
 *
 * sort_{f64,f32,bf16,f16,i64,i32,i8,u32,u8,bool}
 *   operands  x[rows, extent], values[rows, count], positions[rows, count] (int64): the first `count` in order
 *   params    0 rows, 1 extent, 2 count, 3 whether the largest come first, 4 whether NaNs come first, 5 rows of a tile
 *   scratch   2 * extent records of 16 bytes, 8 * 256 counters of 8 bytes
 * searchsorted_{the same}
 *   operands  sorted[rows, extent], values[rows, count], out[rows, count] (int64)
 *   params    0 rows, 1 extent, 2 count, 3 whether equals lie before a value, 4 values of a tile (of rows * count)
 *
 * Sorting is stable: equals, zeros of either sign and NaNs among them, stay in the order in which they stood. Each element
 * gets a key, an unsigned integer that orders as wanted. A few are kept in order while the row is read; short rows are
 * sorted by insertion, others by the bytes of the keys, least first, but for those bytes in which all keys agree. A search
 * takes NaN for larger than any number.
 */
#ifndef GRAPHC_SORT_H
#define GRAPHC_SORT_H

#include <string.h>

#include "elements.h"
#include "launch.h"

#define GC_SORT_FEW 16
#define GC_SORT_SHORT 48
#define GC_SORT_BLOCK 64 /* elements of which a row's first are sought at a time */

typedef struct gc_record {
    uint64_t key;
    int64_t place;
} gc_record;

/* Keys that order as values do. NaNs have the largest, zeros of either sign the same. */
static inline uint64_t gc_key_of_double(double value) {
    uint64_t bits;
    if (value != value)
        return ~(uint64_t)0;
    value = value == 0 ? 0 : value;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | ((uint64_t)1 << 63);
}

static inline uint64_t gc_key_of_float(float value) {
    uint32_t bits;
    if (value != value)
        return ~(uint32_t)0;
    value = value == 0 ? 0 : value;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 31 ? (uint32_t)~bits : bits | ((uint32_t)1 << 31);
}

#define GC_KEY_f64(x) gc_key_of_double(x)
#define GC_KEY_f32(x) gc_key_of_float(x)
#define GC_KEY_bf16(x) gc_key_of_float(gc_from_bf16(x))
#define GC_KEY_f16(x) gc_key_of_float(gc_from_f16(x))
#define GC_KEY_i64(x) ((uint64_t)(x) ^ ((uint64_t)1 << 63))
#define GC_KEY_i32(x) ((uint32_t)(x) ^ ((uint32_t)1 << 31))
#define GC_KEY_i8(x) ((uint8_t)(x) ^ (uint8_t)0x80)
#define GC_KEY_u32(x) (x)
#define GC_KEY_u8(x) (x)
#define GC_KEY_bool(x) ((x) != 0)

/* Puts a record behind those of no larger keys among the first `held`, of which there is room for `most`. */
static inline int64_t gc_insert(gc_record *records, int64_t held, int64_t most, gc_record record) {
    int64_t at = held < most ? held : most - 1;
    if (held == most && record.key >= records[most - 1].key)
        return held;
    for (; at > 0 && records[at - 1].key > record.key; at--) records[at] = records[at - 1];
    records[at] = record;
    return held < most ? held + 1 : held;
}

/* Sorts records by their keys, of so many bytes, least byte first. Where they lie then. */
static inline gc_record *gc_sort_by_bytes(gc_record *records, gc_record *others, int64_t count, int bytes, int64_t *counts) {
    memset(counts, 0, (size_t)bytes * 256 * sizeof *counts);
    for (int64_t i = 0; i < count; i++)
        for (int byte = 0; byte < bytes; byte++) counts[byte * 256 + (records[i].key >> 8 * byte & 255)]++;
    for (int byte = 0; byte < bytes; byte++) {
        int64_t *const start = counts + byte * 256;
        int64_t sum = 0;
        if (start[records[0].key >> 8 * byte & 255] == count)
            continue;
        for (int digit = 0; digit < 256; digit++) {
            const int64_t here = start[digit];
            start[digit] = sum;
            sum += here;
        }
        for (int64_t i = 0; i < count; i++) others[start[records[i].key >> 8 * byte & 255]++] = records[i];
        gc_record *const swapped = records;
        records = others;
        others = swapped;
    }
    return records;
}

/* The records of a row in order; where they lie. */
static inline gc_record *gc_sorted(gc_record *records, int64_t extent, int bytes) {
    gc_record *const others = records + extent;
    if (extent <= GC_SORT_SHORT) {
        for (int64_t i = 1; i < extent; i++) gc_insert(records, i, extent, records[i]);
        return records;
    }
    return gc_sort_by_bytes(records, others, extent, bytes, (int64_t *)(void *)(others + extent));
}

#define GC_SORT(TAG, TYPE, WIDE, FROM, TO)                                                                                 \
    static inline uint64_t gc_sort_key_##TAG(TYPE x, uint64_t flip, uint64_t nan_key, uint64_t mask) {                     \
        const uint64_t key = (uint64_t)GC_KEY_##TAG(x);                                                                    \
        return FROM(x) != FROM(x) ? nan_key : (key ^ flip) & mask;                                                         \
    }                                                                                                                      \
    static __attribute__((noinline, unused)) void gc_sort_row_##TAG(const TYPE *x, TYPE *values, int64_t *places,          \
                                                                    const int64_t *p, gc_record *records) {                \
        const int bytes = sizeof(TYPE) == 2 ? 4 : (int)sizeof(TYPE);                                                       \
        const int64_t extent = p[1], count = p[2];                                                                         \
        const uint64_t mask = bytes == 8 ? ~(uint64_t)0 : ((uint64_t)1 << 8 * (bytes & 7)) - 1;                            \
        const uint64_t flip = p[3] ? mask : 0, nan_key = p[4] ? 0 : mask;                                                  \
        const gc_record *sorted = records;                                                                                 \
        if (count <= GC_SORT_FEW && count < extent) {                                                                      \
            int64_t held = 0;                                                                                              \
            uint64_t most = 0; /* the key of the last that is held */                                                      \
            for (int64_t first = 0; first < extent; first += GC_SORT_BLOCK) {                                              \
                uint64_t keys[GC_SORT_BLOCK], least = mask;                                                                \
                const int64_t width = gc_smaller(GC_SORT_BLOCK, extent - first);                                           \
                for (int64_t i = 0; i < width; i++) {                                                                      \
                    keys[i] = gc_sort_key_##TAG(x[first + i], flip, nan_key, mask);                                        \
                    least = keys[i] < least ? keys[i] : least;                                                             \
                }                                                                                                          \
                for (int64_t i = 0; i < width && (held < count || least < most); i++)                                      \
                    if (held < count || keys[i] < most) {                                                                  \
                        held = gc_insert(records, held, count, (gc_record){keys[i], first + i});                           \
                        most = records[held - 1].key;                                                                      \
                    }                                                                                                      \
            }                                                                                                              \
        } else {                                                                                                           \
            for (int64_t i = 0; i < extent; i++)                                                                           \
                records[i] = (gc_record){gc_sort_key_##TAG(x[i], flip, nan_key, mask), i};                                 \
            sorted = gc_sorted(records, extent, bytes);                                                             \
        }                                                                                                                  \
        for (int64_t i = 0; i < count; i++) values[i] = x[places[i] = sorted[i].place];                                    \
    }                                                                                                                      \
    GC_KERNEL gc_sort_##TAG(const gc_call *call, int64_t tile) {                                                           \
        const int64_t *p = call->params, extent = p[1], count = p[2], end = gc_smaller((tile + 1) * p[5], p[0]);           \
        const TYPE *x = gc_operand(call, 0);                                                                               \
        TYPE *values = gc_operand(call, 1);                                                                                \
        int64_t *places = gc_operand(call, 2);                                                                             \
        for (int64_t row = tile * p[5]; row < end && extent && count; row++)                                               \
            gc_sort_row_##TAG(x + row * extent, values + row * count, places + row * count, p,                             \
                              (gc_record *)(void *)call->scratch);                                                         \
    }                                                                                                                      \
    GC_KERNEL gc_searchsorted_##TAG(const gc_call *call, int64_t tile) {                                                   \
        const int64_t *p = call->params, extent = p[1], count = p[2], end = gc_smaller((tile + 1) * p[4], p[0] * count);   \
        const TYPE *values = gc_operand(call, 1), *rows = gc_operand(call, 0);                                             \
        int64_t *out = gc_operand(call, 2);                                                                                \
        const int right = p[3] != 0;                                                                                       \
        for (int64_t i = tile * p[4]; i < end; i++) {                                                                      \
            const TYPE *row = rows + i / count * extent;                                                                   \
            const uint64_t key = (uint64_t)GC_KEY_##TAG(values[i]);                                                        \
            int64_t low = 0;                                                                                               \
            for (int64_t left = extent; left > 0;) { /* no branch depends on the data */                                   \
                const int64_t half = (left + 1) / 2;                                                                       \
                const uint64_t there = (uint64_t)GC_KEY_##TAG(row[low + half - 1]);                                        \
                low += half & -(int64_t)((there < key) | ((there == key) & right));                                        \
                left -= half;                                                                                              \
            }                                                                                                              \
            out[i] = low;                                                                                                  \
        }                                                                                                                  \
    }

GC_EACH_VALUE(GC_SORT)
#undef GC_SORT
#undef GC_KEY_f64
#undef GC_KEY_f32
#undef GC_KEY_bf16
#undef GC_KEY_f16
#undef GC_KEY_i64
#undef GC_KEY_i32
#undef GC_KEY_i8
#undef GC_KEY_u32
#undef GC_KEY_u8
#undef GC_KEY_bool
#endif
