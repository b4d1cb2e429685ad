/* The kernels of one instruction set level as a table of functions, so that code compiled for any processor can call
 * them. Each level's module includes this header, and with it every kernel, and exports its table in a capsule. */
#ifndef GRAPHC_ISA_H
#define GRAPHC_ISA_H

#include <stdint.h>

#include "launch.h"

#define GC_ISA_CAPSULE "graphc.kernels.cpu.isa"

typedef struct gc_isa {
    const char *level;
    gc_kernel (*kernel)(const char *name); /* the kernel called `name`, "tile" included; NULL if there is none */
    const char *(*name)(int64_t position); /* the library kernels' names in a row; NULL after the last */
    int64_t (*program_size)(const int64_t *words, int64_t count);              /* bytes to decode into, or -1 */
    int (*program_decode)(const int64_t *words, int64_t count, void *program); /* 0, or -1 for a malformed program */
    int64_t (*operand_bytes)(const void *program, int64_t operand); /* bytes it may touch, or -1 past the last operand */
} gc_isa;

#endif
