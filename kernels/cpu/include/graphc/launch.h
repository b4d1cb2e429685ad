/* The calling convention of every CPU kernel.
 *
 * A kernel runs one tile of a launch. Tiles of one launch are independent and may run at the same time on
 * different threads; how the work is cut into tiles depends on shapes alone, so results do too. A kernel allocates
 * nothing and calls nothing but libm; its temporary memory is `scratch`, private to the thread, 64-byte aligned.
 */
#ifndef GRAPHC_LAUNCH_H
#define GRAPHC_LAUNCH_H

#include <stdint.h>

/* An operand: bytes of a buffer from `offset` on. Buffer GC_LOCAL is the thread's scratch memory: see gc_result. */
#define GC_LOCAL (-1)
typedef struct gc_ref {
    int64_t buffer;
    int64_t offset;
} gc_ref;

/* What a launch hands to its kernel. `program` is the decoded tile program (for a library kernel: its epilogue) or NULL. */
typedef struct gc_call {
    char *const *buffers;       /* base address of every buffer of the plan */
    const gc_ref *operands;     /* the library kernel's operands */
    const int64_t *params;      /* the library kernel's constants */
    const void *program;        /* struct gc_program *, see tile.h */
    const gc_ref *program_operands;
    char *scratch;              /* this thread's scratch memory */
    char **local;               /* where the result would start of which a part lies in scratch memory */
} gc_call;

typedef void (*gc_kernel)(const gc_call *call, int64_t tile);

/* How a kernel is declared. In generated C the call's `params` are constants and the kernel is inlined where it is called,
 * so that they fold; what does not profit from constants belongs in functions of its own. */
#ifdef GC_GENERATED
#define GC_KERNEL static inline __attribute__((always_inline, unused)) void
#else
#define GC_KERNEL static __attribute__((unused)) void
#endif

static inline void *gc_operand(const gc_call *call, int position) {
    const gc_ref ref = call->operands[position];
    return call->buffers[ref.buffer] + ref.offset;
}

/* Where a library kernel writes the part of its result that lies `offset` bytes behind the result's start. A result that
 * only the epilogue reads has no buffer: its parts lie in scratch memory, one after the other in the same place. */
static inline void *gc_result(const gc_call *call, int position, int64_t offset) {
    const gc_ref ref = call->operands[position];
    if (ref.buffer != GC_LOCAL)
        return call->buffers[ref.buffer] + ref.offset + offset;
    *call->local = (char *)((uintptr_t)(call->scratch + ref.offset) - (uintptr_t)offset);
    return call->scratch + ref.offset;
}

static inline void *gc_program_operand(const gc_call *call, int position) {
    const gc_ref ref = call->program_operands[position];
    if (ref.buffer == GC_LOCAL)
        return *call->local;
    return call->buffers[ref.buffer] + ref.offset;
}

/* Runs the launch's tile program over outer positions [a0, a1) and inner positions [c0, c1), each counted over the
 * flattened outer and inner dims of its space, with all of the reduce dims. Defined in tile.h; a library kernel calls it on
 * each part of its output that is final. */
static void gc_run_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1);

#endif
