"""How the arrays of a call find their places.

Arrays are checked, never guessed: shape and dtype must be those of the input. Python scalars and lists take the
input's dtype where no information of their kind is lost. A contiguous array is used where it is; any other, and one that
lies in a parameter's storage, is copied into a staging place that was allocated with the program. Raises InputError, which names the input, what it should be
and what came; nothing has been touched by then.
What is used as an index is checked against its ranges, in one pass without branches.
"""

from cpython.ref cimport Py_INCREF
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp
cimport numpy as cnp

import numpy as np

from graphc.errors import InputError, shown, with_location
from graphc.ir.data import number_of, read_array
from graphc.runtime.foreign import lies_on_device

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_Empty(int ndim, const cnp.npy_intp *dims, cnp.dtype dtype, int fortran)


FOREIGN = (  # what other libraries' arrays have
    "__array__", "__array_interface__", "__buffer__", "to_numpy", "__dlpack__", "__cuda_array_interface__",
)
ON_DEVICE = ", which lies on a device: copy it first, by .cpu() or .numpy(), or compile with backend='cuda'"
_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "V": 2}  # what may become what: bool, integer, float (V is bfloat16)


def rank(object array):
    """What kind of number an array holds; None where it holds something else."""
    return _KINDS.get(array.dtype.kind)


cdef class Slot:
    """One input or output: its type, and for an input its staging place."""

    cdef readonly object argument
    cdef readonly str name
    cdef cnp.dtype dtype
    cdef tuple shape
    cdef cnp.npy_intp dims[64]
    cdef int ndim, rank
    cdef cnp.ndarray staging
    cdef list checks  # of indices, or None

    def __init__(self, argument, bint staged):
        self.argument, self.name = argument, argument.name
        self.dtype, self.shape = argument.type.dtype.numpy, argument.type.shape
        self.ndim = len(self.shape)
        if self.ndim > 64:
            raise InputError(f"{self.name!r} has {self.ndim} axes; arrays have at most 64")
        for axis in range(self.ndim):
            self.dims[axis] = self.shape[axis]
        self.rank = rank(np.empty(0, self.dtype))
        self.staging = np.empty(self.shape, self.dtype) if staged else None
        self.checks = None

    cdef bint fits(self, cnp.ndarray array):
        """Whether `array` has exactly this shape and dtype."""
        if cnp.PyArray_NDIM(array) != self.ndim:
            return False
        if memcmp(cnp.PyArray_DIMS(array), self.dims, self.ndim * sizeof(cnp.npy_intp)):
            return False
        return <void *> cnp.PyArray_DESCR(array) == <void *> self.dtype or array.dtype == self.dtype

    cdef empty(self):
        """A new array of this shape and dtype."""
        Py_INCREF(self.dtype)  # PyArray_Empty takes a reference over
        return PyArray_Empty(self.ndim, self.dims, self.dtype, 0)

    cdef fault(self, str what, value, str reason=""):
        """The error for `value`, which was given as `what`."""
        if isinstance(value, np.ndarray) or isinstance(value, np.generic):
            came = f"{value.dtype}[{', '.join(map(str, value.shape))}]"
        else:
            came = f"{type(value).__name__} {shown(value)}"
        error = InputError(f"{what} {self.name!r} takes {self.argument.type}, got {came}{self.advice(value) or reason}")
        return with_location(error, self.argument.location or None)

    def advice(self, value):
        """What the caller can do about it."""
        if not isinstance(value, np.ndarray):
            return ON_DEVICE if lies_on_device(value) else ""
        if value.shape != self.shape:
            return f": the shape must be {self.shape}"
        return f"; convert it first with .astype({self.dtype.name!r})" if value.dtype != self.dtype else ""

    cdef cnp.ndarray accept(self, value):
        """The array for `value`, of the input's shape and dtype."""
        cdef cnp.ndarray array = value if isinstance(value, cnp.ndarray) else self.convert(value)
        if not self.fits(array):
            raise self.fault("input", value)
        return array

    cdef cnp.ndarray stage(self, cnp.ndarray array):
        """A copy of `array` in the staging place."""
        cnp.PyArray_CopyInto(self.staging, array)
        return self.staging

    cdef int check(self, cnp.ndarray array) except -1:
        """Raise InputError for an index out of range."""
        cdef RangeCheck check
        for check in self.checks:
            if not check.holds(array):
                raise check.rule.fault(self.name, array)
        return 0

    def convert(self, value):
        """A number, a list or another library's array as a NumPy array."""
        foreign = number_of(value) is None and any(hasattr(value, name) for name in FOREIGN)
        if foreign and lies_on_device(value):
            raise self.fault("input", value)
        try:
            array = read_array(value)
            if foreign or rank(array) is None:
                return array
            if array.size and rank(array) > self.rank:
                raise self.fault("input", value)
            return np.asarray(value, self.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise self.fault("input", value, f": {error}") from None


ctypedef fused Index:
    int8_t
    uint8_t
    int32_t
    uint32_t
    int64_t


cdef bint lie_within(const Index *values, int64_t count, int64_t stride, uint64_t low, uint64_t last) noexcept nogil:
    """Whether all values lie in [low, last]. The top bit of a difference that wraps around is set: no branches."""
    cdef uint64_t value, bits = 0
    cdef int64_t i
    if stride == 1:
        for i in range(count):
            value = <uint64_t> <int64_t> values[i]
            bits |= (value - low) | (last - value)
    else:
        for i in range(count):
            value = <uint64_t> <int64_t> values[i * stride]
            bits |= (value - low) | (last - value)
    return bits >> 63 == 0


cdef bint lie_within_but(
    const Index *values, int64_t count, int64_t stride, uint64_t low, uint64_t last, uint64_t ignored
) noexcept nogil:
    """Whether all values lie in [low, last] or are `ignored`: the top bit of x or of -x is set unless x is 0."""
    cdef uint64_t value, other, bits = 0
    cdef int64_t i
    for i in range(count):
        value = <uint64_t> <int64_t> values[i * stride]
        other = value ^ ignored
        bits |= ((value - low) | (last - value)) & (other | (0 - other))
    return bits >> 63 == 0


cdef class RangeCheck:
    """An `IndexRange` (ir/ranges.py) made ready to be checked. It lies in its input: `verify` and the compiler see to that."""

    cdef readonly object rule
    cdef int axes
    cdef bint ignores
    cdef char kind
    cdef int64_t offset
    cdef int64_t counts[64]
    cdef int64_t strides[64]
    cdef uint64_t low, last, ignored

    def __init__(self, rule, dtype):
        self.rule, self.axes, self.offset = rule, len(rule.counts), rule.offset
        for axis in range(self.axes):
            self.counts[axis], self.strides[axis] = rule.counts[axis], rule.strides[axis]
        self.low, self.last = <uint64_t> <int64_t> rule.low, <uint64_t> <int64_t> (rule.high - 1)
        self.ignores = len(rule.ignored) > 0
        self.ignored = <uint64_t> <int64_t> (rule.ignored[0] if self.ignores else 0)
        self.kind = ord(dtype.char)

    cdef bint holds(self, cnp.ndarray array):
        """Whether all elements of a contiguous array that count are in range."""
        cdef void *data = cnp.PyArray_DATA(array)
        if cnp.PyArray_SIZE(array) == 0:
            return True
        if self.kind == c"b":
            return self.part_holds(<const int8_t *> data + self.offset, 0)
        if self.kind == c"B":
            return self.part_holds(<const uint8_t *> data + self.offset, 0)
        if self.kind == c"i":
            return self.part_holds(<const int32_t *> data + self.offset, 0)
        if self.kind == c"I":
            return self.part_holds(<const uint32_t *> data + self.offset, 0)
        return self.part_holds(<const int64_t *> data + self.offset, 0)

    cdef bint part_holds(self, const Index *values, int axis) noexcept:
        """`holds` of the axes from `axis` on."""
        cdef int64_t i, count = self.counts[axis], stride = self.strides[axis]
        if axis < self.axes - 1:
            for i in range(count):
                if not self.part_holds(values + i * stride, axis + 1):
                    return False
            return True
        return lie_within(values, count, stride, self.low, self.last) or (
            self.ignores and lie_within_but(values, count, stride, self.low, self.last, self.ignored)
        )


cdef class Binding:
    """The inputs and outputs of a program. `structure` is "array", "list" or "dict": how outputs are handed back."""

    cdef list input_slots, output_slots
    cdef dict positions
    cdef readonly str structure
    cdef readonly int64_t staging_bytes
    cdef list protected
    cdef cnp.ndarray bounds  # addresses of the first byte of each protected array, and of the first one after it

    def __init__(self, inputs, outputs, str structure, protected=(), ranges=()):
        cdef Slot slot
        self.input_slots = [Slot(argument, True) for argument in inputs]
        self.output_slots = [Slot(argument, False) for argument in outputs]
        self.positions = {slot.name: position for position, slot in enumerate(self.input_slots)}
        self.structure = structure
        self.staging_bytes = sum(argument.nbytes for argument in inputs)
        for rule in ranges:
            slot = self.input_slots[rule.input]
            slot.checks = [*(slot.checks or ()), RangeCheck(rule, slot.dtype)]
        self.protected = list(protected)
        starts = [array.ctypes.data for array in self.protected]
        ends = [start + array.nbytes for start, array in zip(starts, self.protected)]
        self.bounds = np.array(list(zip(starts, ends)), np.int64)

    def inputs(self, tuple arrays not None, dict named not None):
        """The arrays of a call in the inputs' order, checked. What is no array becomes one here, by its own code."""
        cdef Py_ssize_t position, given = len(arrays), count = len(self.input_slots)
        cdef list bound = []
        cdef Slot slot
        cdef cnp.ndarray array
        if given + len(named) != count:
            raise self.miscounted(arrays, named)
        for position in range(count):
            slot = self.input_slots[position]
            if position < given:
                array = slot.accept(arrays[position])
            elif slot.name in named:
                array = slot.accept(named[slot.name])
            else:
                raise self.miscounted(arrays, named)
            bound.append(array)
        return bound

    def placed(self, list arrays not None):
        """`arrays` where a step can read them: where they are, or copied to the staging places, which calls share.

        Raises InputError for an index out of range.
        """
        cdef Py_ssize_t position
        cdef cnp.ndarray array
        cdef Slot slot
        for position in range(len(arrays)):
            array, slot = arrays[position], self.input_slots[position]
            if not cnp.PyArray_ISCARRAY_RO(array) or self.is_protected(array):
                arrays[position] = array = slot.stage(array)
            if slot.checks is not None:
                slot.check(array)
        return arrays

    cdef bint is_protected(self, cnp.ndarray array):
        """Whether a contiguous array shares memory with a parameter, which a step may overwrite before it has read all."""
        cdef int64_t *bounds = <int64_t *> cnp.PyArray_DATA(self.bounds)
        cdef int64_t start = <int64_t> cnp.PyArray_DATA(array)
        cdef int64_t end = start + cnp.PyArray_NBYTES(array)
        cdef Py_ssize_t i
        for i in range(len(self.protected)):
            if start < bounds[2 * i + 1] and bounds[2 * i] < end:
                return True
        return False

    def miscounted(self, arrays, named):
        """The error for a call with unknown, missing, extra or duplicate inputs."""
        names = list(self.positions)
        signature = f"the inputs are {', '.join(str(slot.argument) for slot in self.input_slots) or 'none'}"
        if len(arrays) > len(names):
            return InputError(f"the program takes {len(names)} inputs, got {len(arrays)} by position; {signature}")
        unknown = [name for name in named if name not in self.positions]
        if unknown:
            return InputError(f"there is no input called {', '.join(map(repr, unknown))}; {signature}")
        twice = [name for name in named if self.positions[name] < len(arrays)]
        if twice:
            return InputError(f"input {', '.join(map(repr, twice))} is given by position and by name; {signature}")
        missing = [name for name in names[len(arrays) :] if name not in named]
        return InputError(f"input {', '.join(map(repr, missing))} is missing; {signature}")

    def outputs(self, out, list inputs not None):
        """The arrays to fill: new ones, or those in `out`, which has the structure of the outputs."""
        cdef Slot slot
        cdef list arrays = []
        if out is None:
            for slot in self.output_slots:
                arrays.append(slot.empty())
            return arrays
        arrays = self.unpack(out)
        for slot, array in zip(self.output_slots, arrays):
            check_output(slot, array)
        self.check_overlap(arrays, inputs)
        return arrays

    def unpack(self, out):
        """The arrays in `out`, in the outputs' order."""
        names = [(<Slot> slot).name for slot in self.output_slots]
        if isinstance(out, str):
            raise InputError(f"out= takes arrays, or 'device' with backend='cuda', got {out!r}")
        if self.structure == "array":
            return [out]
        if self.structure == "list":
            if not isinstance(out, (list, tuple)) or len(out) != len(names):
                raise InputError(f"out= takes a list of {len(names)} arrays, got {type(out).__name__}")
            return list(out)
        if not isinstance(out, dict) or set(out) != set(names):
            came = f"a dict with {', '.join(map(repr, out))}" if isinstance(out, dict) else type(out).__name__
            raise InputError(f"out= takes a dict with {', '.join(map(repr, names))}, got {came}")
        return [out[name] for name in names]

    cdef check_overlap(self, list outputs, list inputs):
        """Refuse outputs that share memory with each other, with an input that is read in place, or with a parameter."""
        cdef list taken = [(np.asarray(array), "an input") for array in inputs]
        taken += [(array, "a parameter") for array in self.protected]
        for slot, array in zip(self.output_slots, outputs):
            for other, what in taken:
                if np.may_share_memory(array, other):
                    raise InputError(f"out= array for {slot.name!r} overlaps {what}; give it memory of its own")
            taken.append((array, "another out= array"))

    def pack(self, list arrays not None):
        """`arrays` in the structure of the outputs."""
        if self.structure == "array":
            return arrays[0]
        if self.structure == "list":
            return arrays
        return {(<Slot> slot).name: array for slot, array in zip(self.output_slots, arrays)}


cdef check_output(Slot slot, array):
    """Raise InputError unless `array` can be filled in place."""
    if not isinstance(array, cnp.ndarray) or not slot.fits(array):
        raise slot.fault("out= for", array)
    flags = array.flags
    if not flags.c_contiguous or not flags.aligned:
        raise InputError(f"out= array for {slot.name!r} must be C-contiguous; its strides are {array.strides}")
    if not flags.writeable:
        raise InputError(f"out= array for {slot.name!r} is read-only")


def commit(list targets not None, list values not None):
    """Copy each value into its target. Cannot be interrupted half-way by a signal handler."""
    cdef Py_ssize_t position
    for position in range(len(targets)):
        cnp.PyArray_CopyInto(targets[position], values[position])
