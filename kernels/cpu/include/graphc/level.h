/* Every kernel, compiled for the instruction set of the file that includes this header; GC_LEVEL is the level's name. */
#ifndef GRAPHC_LEVEL_H
#define GRAPHC_LEVEL_H

#include <stddef.h>
#include <string.h>

#include "isa.h"
#include "library.h"
#include "tile.h"

static const char *gc_level_name(int64_t position) {
    const int64_t count = (int64_t)(sizeof gc_library / sizeof *gc_library);
    return 0 <= position && position < count ? gc_library[position].name : NULL;
}

static gc_kernel gc_level_kernel(const char *name) {
    if (strcmp(name, "tile") == 0)
        return gc_tile_kernel;
    for (int64_t i = 0; gc_level_name(i); i++)
        if (strcmp(name, gc_level_name(i)) == 0)
            return gc_library[i].kernel;
    return NULL;
}

static int64_t gc_level_operand_bytes(const void *program, int64_t operand) {
    const int64_t count = ((const gc_program *)program)->operands;
    return 0 <= operand && operand < count ? gc_program_operand_bytes(program, operand) : -1;
}

static const gc_isa gc_level = {
    GC_LEVEL, gc_level_kernel, gc_level_name, gc_program_size, gc_program_decode, gc_level_operand_bytes};

#endif
