"""What this processor can do. Compiled for the plainest instruction set, so that it runs everywhere."""

cdef extern from "graphc/features.h" nogil:
    int gc_has_avx2()
    int gc_has_avx512()


def has_avx2():
    """Whether code for x86-64-v3 runs here."""
    return bool(gc_has_avx2())


def has_avx512():
    """Whether code for x86-64-v4 runs here."""
    return bool(gc_has_avx512())
