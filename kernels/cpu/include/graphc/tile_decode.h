/* From a tile program's words to its records, with everything checked that a wrong word could break.
 *
 *     words       = header, operand*, axis*, access*, constant*, value*, instruction*, segment*
 *     header      = the GC_HEADER words named below
 *     operand     = bytes of an element
 *     axis        = extent, stride, low, high
 *     access      = operand or -1, bytes of an element, offset, level, then for each part: first axis, how many
 *     constant    = its bits
 *     value       = place in scratch or -1 - constant, bytes of an element, level
 *     instruction = operation, type, form, level, target, a, b, c, access, extra       absent values are 0
 *     segment     = first instruction, how many, whether it is looped                  the first runs once a region
 *
 * A decoded program never touches scratch beyond `scratch` bytes, nor an operand beyond gc_program_operand_bytes.
 */
#ifndef GRAPHC_TILE_DECODE_H
#define GRAPHC_TILE_DECODE_H

#include "tile_table.h"

#define GC_TILE_MAGIC INT64_C(0x3130656c69746367) /* "gctile01", the last digits being the format's version */

enum {
    GC_W_MAGIC, GC_W_COUNT, GC_W_EXTENT, GC_W_STEP = GC_W_EXTENT + 3, GC_W_GRAIN = GC_W_STEP + 3, GC_W_FLAT = GC_W_GRAIN + 3,
    GC_W_BLOCK, GC_W_TILES, GC_W_SCRATCH, GC_W_FULL, GC_W_ROW, GC_W_OPERANDS, GC_W_AXES, GC_W_ACCESSES, GC_W_CONSTANTS, GC_W_VALUES,
    GC_W_INSTRUCTIONS, GC_W_SEGMENTS, GC_HEADER
};

enum { GC_AXIS_WORDS = 4, GC_ACCESS_WORDS = 10, GC_VALUE_WORDS = 3, GC_INSTRUCTION_WORDS = 10, GC_SEGMENT_WORDS = 3 };

static const int64_t GC_MOST = INT64_C(1) << 40; /* of extents, strides and sizes; no product of two of them overflows twice */

static inline int gc_between(int64_t x, int64_t low, int64_t high) { return low <= x && x <= high; }

static inline const int64_t *gc_table_at(const int64_t *words, int table) {
    static const int64_t width[] = {1, GC_AXIS_WORDS, GC_ACCESS_WORDS, 1, GC_VALUE_WORDS, GC_INSTRUCTION_WORDS, GC_SEGMENT_WORDS};
    const int64_t *at = words + GC_HEADER;
    for (int k = 0; k < table; k++)
        at += words[GC_W_OPERANDS + k] * width[k];
    return at;
}

enum { GC_T_OPERANDS, GC_T_AXES, GC_T_ACCESSES, GC_T_CONSTANTS, GC_T_VALUES, GC_T_INSTRUCTIONS, GC_T_SEGMENTS, GC_T_END };

/* Bytes of memory that the decoded program takes, or -1 if the words are none. */
static int64_t gc_program_size(const int64_t *words, int64_t count) {
    if (count < GC_HEADER || words[GC_W_MAGIC] != GC_TILE_MAGIC || words[GC_W_COUNT] != count)
        return -1;
    for (int k = 0; k < GC_T_END; k++)
        if (!gc_between(words[GC_W_OPERANDS + k], 0, count))
            return -1;
    if (count > GC_MOST / 16 || gc_table_at(words, GC_T_END) != words + count)
        return -1;
    return (int64_t)(sizeof(gc_program) + sizeof(gc_axis) * (size_t)words[GC_W_AXES] +
                     sizeof(gc_access) * (size_t)words[GC_W_ACCESSES] +
                     sizeof(gc_instruction) * (size_t)words[GC_W_INSTRUCTIONS] +
                     sizeof(gc_segment) * (size_t)words[GC_W_SEGMENTS] +
                     sizeof(int64_t) * (size_t)(2 * words[GC_W_OPERANDS] + words[GC_W_CONSTANTS] + 2 * words[GC_W_VALUES]));
}

static inline int gc_decode_header(const int64_t *words, gc_program *p) {
    for (int part = 0; part < GC_PARTS; part++) {
        p->extent[part] = words[GC_W_EXTENT + part];
        p->step[part] = words[GC_W_STEP + part];
        p->grain[part] = words[GC_W_GRAIN + part];
        if (!gc_between(p->extent[part], 0, GC_MOST) || !gc_between(p->step[part], 1, GC_MOST) ||
            !gc_between(p->grain[part], 1, GC_MOST))
            return -1;
    }
    p->flat = words[GC_W_FLAT];
    p->block = words[GC_W_BLOCK];
    p->tiles = words[GC_W_TILES];
    p->scratch = words[GC_W_SCRATCH];
    p->capacity[GC_FULL] = words[GC_W_FULL];
    p->capacity[GC_ROW] = words[GC_W_ROW];
    p->capacity[GC_ONE] = 1;
    p->operands = words[GC_W_OPERANDS];
    p->axes = words[GC_W_AXES];
    p->accesses = words[GC_W_ACCESSES];
    p->constants = words[GC_W_CONSTANTS];
    p->values = words[GC_W_VALUES];
    p->instructions = words[GC_W_INSTRUCTIONS];
    p->segments = words[GC_W_SEGMENTS];
    const int64_t *const step = p->step;
    int64_t full, row;
    if (!gc_between(p->scratch, p->values * (int64_t)sizeof(char *), GC_MOST) || !gc_between(p->tiles, 0, GC_MOST) ||
        !gc_between(p->capacity[GC_FULL], 1, GC_MOST) || !gc_between(p->capacity[GC_ROW], 1, GC_MOST) || p->segments < 1)
        return -1;
    if (p->flat) {
        const int whole = !__builtin_mul_overflow(p->extent[GC_OUTER], p->extent[GC_INNER], &full) &&
                          gc_between(p->block, 0, GC_MOST) && (p->block == 0 || full % p->block == 0);
        const int fits = !__builtin_mul_overflow(step[GC_OUTER], step[GC_INNER], &row) && row <= p->capacity[GC_FULL];
        return p->extent[GC_REDUCE] == 1 && whole && fits ? 0 : -1;
    }
    if (__builtin_mul_overflow(step[GC_OUTER], step[GC_INNER], &row) || row > p->capacity[GC_ROW] ||
        __builtin_mul_overflow(row, step[GC_REDUCE], &full) || full > p->capacity[GC_FULL])
        return -1;
    return 0;
}

/* The least and the greatest index of an access, the guard being respected; 1 if it touches nothing, -1 if out of bounds. */
static inline int gc_access_range(const gc_access *access, int64_t *least, int64_t *greatest) {
    *least = *greatest = access->offset;
    for (int part = 0; part < GC_PARTS; part++)
        for (int64_t k = 0; k < access->count[part]; k++) {
            const gc_axis *axis = &access->axes[part][k];
            if (axis->low >= axis->high)
                return 1;
            int64_t a, b;
            if (__builtin_mul_overflow(axis->low, axis->stride, &a) || __builtin_mul_overflow(axis->high - 1, axis->stride, &b) ||
                __builtin_add_overflow(*least, a < b ? a : b, least) || __builtin_add_overflow(*greatest, a < b ? b : a, greatest))
                return -1;
        }
    return 0;
}

static inline void gc_need_bytes(gc_program *p, int64_t operand, int64_t bytes) {
    if (p->operand_bytes[operand] < bytes)
        p->operand_bytes[operand] = bytes;
}

static inline int gc_decode_access(const int64_t *word, gc_program *p, const gc_axis *axes, gc_access *access) {
    *access = (gc_access){.operand = word[0], .size = word[1], .offset = word[2], .level = word[3]};
    if (!gc_between(access->operand, -1, p->operands - 1) || !gc_between(access->size, 1, 8) ||
        !gc_between(access->level, 0, GC_LEVELS - 1) || !gc_between(access->offset, -GC_MOST, GC_MOST))
        return -1;
    for (int part = 0; part < GC_PARTS; part++) {
        const int64_t first = word[4 + 2 * part], count = word[5 + 2 * part];
        if (!gc_between(count, 0, GC_AXES) || !gc_between(first, 0, p->axes - count))
            return -1;
        access->axes[part] = axes + first;
        access->count[part] = count;
        int64_t total = 1;
        for (int64_t k = 0; k < count; k++) {
            const gc_axis *axis = &axes[first + k];
            access->guarded |= axis->low > 0 || axis->high < axis->extent;
            if (__builtin_mul_overflow(total, axis->extent, &total))
                return -1;
        }
        const int64_t extent = p->flat && part == GC_INNER ? p->extent[GC_OUTER] * p->extent[GC_INNER] : p->extent[part];
        const int absent = access->level == GC_ONE || (p->flat && part != GC_INNER) || (access->level == GC_ROW && part == GC_REDUCE);
        if (count && (absent || total != extent))
            return -1;
    }
    const gc_axis *const front = access->axes[GC_INNER];
    if (p->flat && !access->guarded && access->count[GC_INNER] > 1 && front->stride == 0)
        access->period = p->extent[GC_OUTER] * p->extent[GC_INNER] / front->extent;
    int64_t least, greatest;
    const int range = gc_access_range(access, &least, &greatest);
    if (range || access->operand < 0)
        return range < 0 ? -1 : 0;
    if (least < 0 || greatest >= GC_MOST)
        return -1;
    gc_need_bytes(p, access->operand, (greatest + 1) * access->size);
    return access->size == p->operand_sizes[access->operand] ? 0 : -1;
}

static inline int gc_decode_place(const int64_t *value, const gc_program *p) {
    int64_t end;
    if (!gc_between(value[1], 1, GC_STATE) || !gc_between(value[2], 0, GC_LEVELS - 1))
        return -1;
    if (value[0] < 0)
        return value[2] == GC_ONE && value[1] <= 8 && gc_between(-1 - value[0], 0, p->constants - 1) ? 0 : -1;
    if (!gc_between(value[0], p->values * (int64_t)sizeof(char *), p->scratch) || value[0] % 16 ||
        __builtin_mul_overflow(p->capacity[value[2]], value[1], &end) || __builtin_add_overflow(end, value[0], &end))
        return -1;
    return end <= p->scratch ? 0 : -1;
}

/* The level on which an instruction takes its argument `k` (0 the target, then a, b, c). */
static inline int64_t gc_argument_level(int kind, int64_t op, int64_t form, int64_t level, int k) {
    if (kind == GC_STEPS && k == 0)
        return GC_ROW;
    if (kind != GC_COMPUTES || k == 0 || form == GC_VV)
        return level;
    const int64_t other = form == GC_VR || form == GC_RV ? GC_ROW : GC_ONE;
    const int first = op == GC_OP_where || gc_between(op, GC_OP_multiply_add, GC_OP_subtract_multiply) ? 2 : 1; /* the form is about the last two arguments */
    if (op == GC_OP_repeat)
        return other;
    if (k < first)
        return level;
    const int varies = k == first ? form == GC_VS || form == GC_VR : form == GC_SV || form == GC_RV;
    return varies && form != GC_SS ? level : other;
}

static inline int gc_decode_instruction(const int64_t *word, const int64_t *values, gc_program *p, gc_instruction *x) {
    const int64_t op = word[0], type = word[1], form = word[2], level = word[3], access = word[8];
    if (!gc_between(op, 0, GC_OPS - 1) || !gc_between(type, 0, GC_TYPES - 1) || !gc_between(form, 0, GC_FORMS - 1) ||
        !gc_between(level, 0, GC_LEVELS - 1))
        return -1;
    const gc_entry *const entry = &gc_entries[op][type][form];
    *x = (gc_instruction){entry->run, level, word[4], word[5], word[6], word[7], word[9], NULL};
    if (!entry->run || ((form == GC_VR || form == GC_RV) && (level != GC_FULL || p->flat)))
        return -1;
    if (entry->kind >= GC_STARTS && (p->flat || level != (entry->kind == GC_STEPS ? GC_FULL : GC_ROW)))
        return -1;
    for (int k = 0; k < 4; k++) {
        if (entry->sizes[k] == 0)
            continue;
        if (!gc_between(word[4 + k], 0, p->values - 1))
            return -1;
        const int64_t *const value = values + GC_VALUE_WORDS * word[4 + k];
        if (value[1] != entry->sizes[k] || value[2] != gc_argument_level(entry->kind, op, form, level, k))
            return -1;
        if (value[0] < 0 && (k == 0 || op == GC_OP_bind)) /* constants are not written */
            return -1;
    }
    if (!gc_between(entry->kind, GC_READS, GC_DRAWS))
        return 0;
    if (!gc_between(access, 0, p->accesses - 1))
        return -1;
    x->access = &p->access[access];
    const int64_t size = entry->sizes[0] ? entry->sizes[0] : entry->sizes[1];
    if (entry->kind == GC_READS || entry->kind == GC_WRITES)
        return x->access->operand >= 0 && x->access->size == size && x->access->level == level ? 0 : -1;
    if (entry->kind == GC_DRAWS) { /* a is the operand with seed and step */
        if (!gc_between(x->a, 0, p->operands - 1))
            return -1;
        gc_need_bytes(p, x->a, 2 * (int64_t)sizeof(uint64_t));
    }
    return x->access->operand == -1 && x->access->level == level && !x->access->guarded ? 0 : -1;
}

enum { GC_AT_HOME = -2, GC_UNBOUND = -1 };

/* The value that an instruction may turn into an operand's memory, or -1. */
static inline int64_t gc_binds(const int64_t *word) {
    return word[0] == GC_OP_load ? word[4] : word[0] == GC_OP_bind ? word[5] : -1;
}

/* A value is an operand's memory for the tile in which its load or bind ran, no other. So one of them comes before each use,
 * for a full value in the same segment, and not in the first segment, which runs but once. `bound` has a word for each value. */
static inline int gc_check_bindings(const gc_program *p, const int64_t *instructions, const int64_t *values, int64_t *bound) {
    for (int64_t i = 0; i < p->values; i++)
        bound[i] = GC_AT_HOME;
    for (int64_t i = 0; i < p->instructions; i++) {
        const int64_t binds = gc_binds(instructions + GC_INSTRUCTION_WORDS * i);
        if (binds >= 0 && values[GC_VALUE_WORDS * binds + 2] != GC_ONE)
            bound[binds] = GC_UNBOUND;
    }
    int64_t position = 0;
    for (int64_t s = 0; s < p->segments; s++) {
        if (p->segment[s].first != position)
            return -1;
        for (const int64_t end = position + p->segment[s].count; position < end; position++) {
            const int64_t *const word = instructions + GC_INSTRUCTION_WORDS * position, binds = gc_binds(word);
            const uint8_t *const sizes = gc_entries[word[0]][word[1]][word[2]].sizes;
            for (int k = 0; k < 4; k++) {
                const int64_t used = word[4 + k];
                if (sizes[k] == 0 || used == binds || bound[used] == GC_AT_HOME)
                    continue;
                if (bound[used] == GC_UNBOUND || (values[GC_VALUE_WORDS * used + 2] == GC_FULL && bound[used] != s))
                    return -1;
            }
            if (binds >= 0 && bound[binds] != GC_AT_HOME) {
                if (s == 0)
                    return -1;
                bound[binds] = s;
            }
        }
    }
    return 0;
}

#endif
