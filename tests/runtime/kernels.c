/* Kernels for testing the executor alone, as an instruction set table of their own. Arrays are float32.
 *   add        out = a + b, `params[0]` elements in tiles of `params[1]`      allocate   the same, and allocates
 *   count      out[tile] += 1                                                 draw       out = (seed, step)
 *   wait       the same as add, but slow: `params[2]` nanoseconds a tile
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graphc/isa.h"

static void add(const gc_call *call, int64_t tile) {
    const float *a = gc_operand(call, 0), *b = gc_operand(call, 1);
    float *out = gc_operand(call, 2);
    const int64_t first = tile * call->params[1], last = first + call->params[1];
    for (int64_t i = first; i < last && i < call->params[0]; i++)
        out[i] = a[i] + b[i];
}

static void allocate(const gc_call *call, int64_t tile) {
    void *volatile memory = malloc(100);
    add(call, tile);
    free(memory);
}

static void count(const gc_call *call, int64_t tile) { ((float *)gc_operand(call, 0))[tile] += 1; }

static void draw(const gc_call *call, int64_t tile) {
    (void)tile;
    memcpy(gc_operand(call, 1), gc_operand(call, 0), 16);
}

static void wait(const gc_call *call, int64_t tile) {
    const struct timespec pause = {0, call->params[2]};
    nanosleep(&pause, NULL);
    add(call, tile);
}

static const struct { const char *name; gc_kernel kernel; } all[] = {
    {"add", add}, {"allocate", allocate}, {"count", count}, {"draw", draw}, {"wait", wait}};

static gc_kernel kernel(const char *name) {
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0)
            return all[i].kernel;
    return NULL;
}

static const char *name(int64_t position) { return position < 5 ? all[position].name : NULL; }
static int64_t program_size(const int64_t *words, int64_t count) { return count && words[0] >= 0 ? 64 : -1; }
static int program_decode(const int64_t *words, int64_t count, void *program) {
    memcpy(program, words, 8 * (size_t)(count < 8 ? count : 8));
    return 0;
}

/* A program is (0, bytes of operand 0, bytes of operand 1, ..., -1). */
static int64_t operand_bytes(const void *program, int64_t operand) { return ((const int64_t *)program)[operand + 1]; }

const gc_isa test_isa = {"test", kernel, name, program_size, program_decode, operand_bytes};
