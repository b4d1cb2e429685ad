# What the module of every level holds: the capsule with the table of its kernels, and their names.

from cpython.pycapsule cimport PyCapsule_New

cdef extern from "graphc/level.h" nogil:
    const char *GC_ISA_CAPSULE
    ctypedef struct gc_isa:
        const char *level
        const char *(*name)(long long position) noexcept nogil
    gc_isa gc_level


def _names():
    position, names = 0, []
    while gc_level.name(position) != NULL:
        names.append(gc_level.name(position).decode())
        position += 1
    return tuple(names)


level = gc_level.level.decode()
kernels = _names()
table = PyCapsule_New(<void *> &gc_level, GC_ISA_CAPSULE, NULL)
