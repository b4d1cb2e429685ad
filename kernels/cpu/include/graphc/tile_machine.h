/* The tile machine's records: a decoded tile program and the state of one thread that runs it.
 *
 * A tile program computes a kernel-IR loop nest tile by tile. The iteration space is outer x reduce x inner, each part
 * flattened; a tile is a range of each. A value is an array over the tile: *full* (outer, reduce, inner), *row* (outer,
 * inner) or *one* element. An instruction is one C loop over a whole value. A value lies at a fixed place in the thread's
 * scratch memory, or right in an operand where that is contiguous over the tile. A *flat* program has no reduce part: its
 * space is one range, of which outer x inner are the rows and columns that a library kernel may ask for in parts.
 */
#ifndef GRAPHC_TILE_MACHINE_H
#define GRAPHC_TILE_MACHINE_H

#include <stdint.h>
#include <string.h>

#include "launch.h"

enum { GC_FULL, GC_ROW, GC_ONE, GC_LEVELS };
enum { GC_TYPE_u8, GC_TYPE_i8, GC_TYPE_u16, GC_TYPE_i32, GC_TYPE_u32, GC_TYPE_i64, GC_TYPE_f32, GC_TYPE_f64, GC_TYPES };

/* How a loop takes its last two arguments: V a value of the instruction's level, S one element, R a row value repeated
 * along the reduce part. */
enum { GC_VV, GC_VS, GC_SV, GC_SS, GC_VR, GC_RV, GC_FORMS };

/* The three parts of the space, and of every index. */
enum { GC_OUTER, GC_REDUCE, GC_INNER, GC_PARTS };

enum { GC_AXES = 16 }; /* most axes of one part */

/* One axis of an index: positions 0 .. extent, of which low .. high are inside the guard. */
typedef struct gc_axis {
    int64_t extent, stride, low, high;
} gc_axis;

/* An affine index over the space, in elements. */
typedef struct gc_access {
    int64_t operand; /* -1 for none */
    int64_t size;    /* bytes of an element */
    int64_t offset;
    int64_t level;
    const gc_axis *axes[GC_PARTS];
    int64_t count[GC_PARTS];
    int64_t period;  /* flat: the index repeats every so many positions; else 0 */
    int guarded;
} gc_access;

struct gc_machine;
struct gc_instruction;
typedef void (*gc_loop)(const struct gc_machine *, const struct gc_instruction *);

typedef struct gc_instruction {
    gc_loop run;
    int64_t level, target, a, b, c; /* values */
    int64_t extra;
    const gc_access *access;
} gc_instruction;

typedef struct gc_segment {
    int64_t first, count;
    int64_t looped; /* over the chunks of the reduce part; else once a tile */
} gc_segment;

typedef struct gc_program {
    int64_t extent[GC_PARTS]; /* of the space; of a flat program: rows, 1, columns */
    int64_t step[GC_PARTS];   /* largest tile; of a flat program only the last counts */
    int64_t grain[GC_PARTS];  /* the part of the space that is one unit of parallel work */
    int64_t tiles, flat, scratch;
    int64_t block;            /* flat: positions of a row where tiles are blocks of rows and columns; else 0 */
    int64_t operands, axes, accesses, constants, values, instructions, segments, capacity[GC_LEVELS];
    int64_t *operand_sizes, *operand_bytes; /* of an element; of the memory that is touched */
    gc_access *access;
    int64_t *constant;
    int64_t *places; /* of each value: bytes into scratch, or -1 - position of a constant */
    gc_instruction *instruction;
    gc_segment *segment;
} gc_program;

typedef struct gc_machine {
    const gc_program *program;
    const gc_call *call;
    char **value;              /* where each value is at this moment */
    int64_t start[GC_PARTS];   /* the tile */
    int64_t length[GC_PARTS];
    int64_t pitch;             /* flat: positions from one row to the next */
    int64_t count[GC_LEVELS];  /* elements of a value */
} gc_machine;

static inline char *gc_home(const gc_machine *m, int64_t value) {
    const int64_t place = m->program->places[value];
    return place >= 0 ? m->call->scratch + place : (char *)&m->program->constant[-1 - place];
}

#endif
