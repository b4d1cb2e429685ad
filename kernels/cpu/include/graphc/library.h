/* The library kernels by name: what a plan's launches may ask for besides "tile", the tile machine of tile.h. */
#ifndef GRAPHC_LIBRARY_H
#define GRAPHC_LIBRARY_H

#include "attention.h"
#include "conv.h"
#include "gemm.h"
#include "index.h"
#include "pool.h"
#include "scan.h"
#include "sort.h"
#include "tile.h"

struct gc_library_entry {
    const char *name;
    gc_kernel kernel;
};

#define GC_ENTRY(name) {#name, gc_##name}

#define GC_ENTRIES_FLOAT(name) GC_ENTRY(name##_f64), GC_ENTRY(name##_f32), GC_ENTRY(name##_bf16), GC_ENTRY(name##_f16)
#define GC_ENTRIES_NUMBER(name) GC_ENTRIES_FLOAT(name), GC_ENTRY(name##_i64), GC_ENTRY(name##_i32), GC_ENTRY(name##_i8)
#define GC_ENTRIES_VALUE(name) GC_ENTRIES_NUMBER(name), GC_ENTRY(name##_u32), GC_ENTRY(name##_u8), GC_ENTRY(name##_bool)

static const struct gc_library_entry gc_library[] = {
    GC_ENTRIES_NUMBER(gemm),
    GC_ENTRY(gemm_bool),
    GC_ENTRIES_FLOAT(conv2d),
    GC_ENTRIES_FLOAT(conv2d_input_grad),
    GC_ENTRIES_FLOAT(conv2d_weight_grad),
    GC_ENTRIES_FLOAT(max_pool2d),
    GC_ENTRIES_FLOAT(max_pool2d_argmax),
    GC_ENTRIES_FLOAT(max_pool2d_both),
    GC_ENTRIES_FLOAT(max_pool2d_scatter),
    GC_ENTRIES_FLOAT(max_pool2d_gather),
    GC_ENTRIES_FLOAT(avg_pool2d),
    GC_ENTRIES_FLOAT(avg_pool2d_grad),
    GC_ENTRIES_FLOAT(attention),
    GC_ENTRIES_FLOAT(attention_grad),
    GC_ENTRY(take_1),
    GC_ENTRY(take_2),
    GC_ENTRY(take_4),
    GC_ENTRY(take_8),
    GC_ENTRIES_NUMBER(scatter_add),
    GC_ENTRY(scatter_add_f32_wide),
    GC_ENTRIES_VALUE(argmax),
    GC_ENTRIES_VALUE(argmin),
    GC_ENTRIES_NUMBER(cumsum),
    GC_ENTRIES_FLOAT(cumprod),
    GC_ENTRY(cumprod_i64),
    GC_ENTRIES_FLOAT(recurrence),
    GC_ENTRIES_VALUE(sort),
    GC_ENTRIES_VALUE(searchsorted),
};

#undef GC_ENTRY
#undef GC_ENTRIES_FLOAT
#undef GC_ENTRIES_NUMBER
#undef GC_ENTRIES_VALUE
#endif
