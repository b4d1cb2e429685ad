"""What the executor calls of C: the system's memory, kernels by instruction set (isa.h), and the launches (execute.h)."""

from libc.stdint cimport int64_t

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifdef MADV_HUGEPAGE
    #define GC_USE_LARGE_PAGES(memory, size) (void)madvise(memory, size, MADV_HUGEPAGE)
    #else
    #define GC_USE_LARGE_PAGES(memory, size) (void)0
    #endif
    #ifdef __GLIBC__
    #include <malloc.h>
    #define GC_RETURN_FREED() (void)malloc_trim(0)
    #else
    #define GC_RETURN_FREED() (void)0
    #endif
    """
    void GC_USE_LARGE_PAGES(void *memory, size_t size) nogil
    void GC_RETURN_FREED() nogil

cdef extern from "graphc/isa.h" nogil:
    const char *GC_ISA_CAPSULE
    ctypedef struct gc_ref:
        int64_t buffer
        int64_t offset
    ctypedef struct gc_call:
        pass
    ctypedef void (*gc_kernel)(const gc_call *call, int64_t tile) noexcept nogil
    ctypedef struct gc_isa:
        const char *level
        gc_kernel (*kernel)(const char *name) noexcept nogil
        int64_t (*program_size)(const int64_t *words, int64_t count) noexcept nogil
        int (*program_decode)(const int64_t *words, int64_t count, void *program) noexcept nogil
        int64_t (*operand_bytes)(const void *program, int64_t operand) noexcept nogil

cdef extern from "graphc/execute.h" nogil:
    const char *GC_IMAGE_CAPSULE
    int64_t GC_IMAGE_FORMAT
    ctypedef struct gc_launch:
        gc_kernel kernel
        int64_t tiles
        const gc_ref *operands
        const int64_t *params
        const void *program
        const gc_ref *program_operands
    ctypedef struct gc_slice:
        int64_t buffer, of, offset, step
    ctypedef struct gc_loop:
        int64_t first, last, count
        const gc_slice *slices
        int64_t slice_count
    ctypedef struct gc_compiled:
        int64_t format, launch_count
        const gc_launch *launches
        int64_t loop_count
    ctypedef struct gc_step:
        const gc_launch *launches
        int64_t launch_count
        const gc_loop *loops
        int64_t loop_count
        char **buffers
        char *scratch
        int64_t scratch_stride
    ctypedef void (*gc_watch)(void *context, int64_t launch) noexcept nogil
    ctypedef struct gc_stage:
        int64_t first, last, loop, tiles, grain
        int64_t *depends
        int64_t depend_count
    ctypedef struct gc_progress:
        pass
    ctypedef struct gc_team:
        gc_step step
        const gc_stage *stages
        int64_t stage_count
        gc_progress *progress
        int64_t work
    int GC_MAX_THREADS
    void gc_run_launches(const gc_step *step, int64_t first, int64_t last, int64_t loop, char *scratch, gc_watch watch,
                         void *context)
    void gc_team_prepare(gc_team *team)
    void gc_team_dispose(gc_team *team)
    void gc_run_team(gc_team *team, int threads)
    void gc_team_together(gc_team *team, int threads)
    void gc_step_profile(const gc_step *step, int64_t *elapsed)
