"""DLPack, by which libraries lend each other arrays: capsules are read here, and made.

A capsule holds a record of C (dlpack.h), the old one or the one with a version. Reading takes nothing over: whoever
holds the capsule holds the array. Making one lends an object's memory, until whoever takes it gives it back.
"""

from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t, uintptr_t

cdef extern from "Python.h":
    int Py_IsInitialized() nogil

cdef const char *OLD = "dltensor"
cdef const char *VERSIONED = "dltensor_versioned"
cdef uint64_t READ_ONLY = 1
KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13  # kinds of devices

ctypedef struct Tensor:
    void *data
    int32_t device_kind
    int32_t device
    int32_t ndim
    uint8_t code
    uint8_t bits
    uint16_t lanes
    int64_t *shape
    int64_t *strides
    uint64_t byte_offset

ctypedef struct Managed:
    Tensor tensor
    void *owner
    void (*deleter)(Managed *) noexcept nogil

ctypedef struct Versioned:
    uint32_t major
    uint32_t minor
    void *owner
    void (*deleter)(Versioned *) noexcept nogil
    uint64_t flags
    Tensor tensor


def read(object capsule):
    """What a capsule lends: (address, device, dtype's name, shape, strides in elements or None, whether only to read).

    Raises ValueError.
    """
    cdef Tensor *tensor
    cdef Versioned *versioned
    cdef bint is_read_only = False
    if PyCapsule_IsValid(capsule, OLD):
        tensor = &(<Managed *> PyCapsule_GetPointer(capsule, OLD)).tensor
    elif PyCapsule_IsValid(capsule, VERSIONED):
        versioned = <Versioned *> PyCapsule_GetPointer(capsule, VERSIONED)
        if versioned.major != 1:
            raise ValueError(f"it is lent by version {versioned.major} of DLPack, which is not known here")
        tensor, is_read_only = &versioned.tensor, versioned.flags & READ_ONLY
    else:
        raise ValueError("its __dlpack__ gives no capsule that is still to be read")
    dtype = KINDS.get(tensor.code, f"code {tensor.code}, ")
    dtype += "" if dtype == "bool" and tensor.bits == 8 else str(tensor.bits)
    dtype += "" if tensor.lanes == 1 else f"x{tensor.lanes}"
    shape = tuple([tensor.shape[axis] for axis in range(tensor.ndim)])
    strides = None if tensor.strides == NULL else tuple([tensor.strides[axis] for axis in range(tensor.ndim)])
    address = <uintptr_t> tensor.data + tensor.byte_offset
    return address, tensor.device, dtype, shape, strides, bool(is_read_only)


def lend(object owner, uintptr_t address, int device, str dtype, tuple shape):
    """A capsule of C-contiguous memory of a CUDA device, which `owner` keeps as long as the capsule's taker wants it."""
    cdef int ndim = len(shape)
    cdef Managed *managed = <Managed *> PyMem_RawMalloc(sizeof(Managed) + 2 * ndim * sizeof(int64_t))
    cdef int64_t stride = 1
    if managed == NULL:
        raise MemoryError
    name = dtype.rstrip("0123456789")
    managed.tensor.data, managed.tensor.byte_offset = <void *> address, 0
    managed.tensor.device_kind, managed.tensor.device = 2, device
    managed.tensor.code = {kind: code for code, kind in KINDS.items()}[name]
    managed.tensor.bits, managed.tensor.lanes = int(dtype[len(name):] or 8), 1
    managed.tensor.ndim = ndim
    managed.tensor.shape = <int64_t *> (managed + 1)
    managed.tensor.strides = managed.tensor.shape + ndim
    for axis in range(ndim - 1, -1, -1):
        managed.tensor.shape[axis], managed.tensor.strides[axis] = shape[axis], stride
        stride *= shape[axis]
    managed.owner, managed.deleter = <void *> owner, give_back
    capsule = PyCapsule_New(managed, OLD, forget)
    Py_INCREF(owner)
    return capsule


cdef void give_back(Managed *managed) noexcept nogil:
    """What the taker calls, in any thread, perhaps after Python's end."""
    if Py_IsInitialized():
        let_go(managed.owner)
    PyMem_RawFree(managed)


cdef void let_go(void *owner) noexcept with gil:
    Py_XDECREF(<PyObject *> owner)


cdef void forget(object capsule) noexcept:
    """The end of a capsule that nobody took. It may come while an error is on its way."""
    cdef PyObject *kind
    cdef PyObject *error
    cdef PyObject *trace
    cdef Managed *managed
    PyErr_Fetch(&kind, &error, &trace)
    if PyCapsule_IsValid(capsule, OLD):
        managed = <Managed *> PyCapsule_GetPointer(capsule, OLD)
        managed.deleter(managed)
    PyErr_Restore(kind, error, trace)
