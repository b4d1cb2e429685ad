"""The executor: runs the launches of a plan.

Everything is prepared once: one 64-byte aligned arena, scratch memory for each thread, decoded tile programs and the
table of launches. A step writes the addresses of the call's arrays into the table of buffers and walks the launches
with the GIL released; it creates no Python object for a launch and allocates nothing.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
cimport cython
cimport numpy as cnp

from graphc.runtime.execute cimport (
    GC_IMAGE_CAPSULE, GC_IMAGE_FORMAT, GC_ISA_CAPSULE, GC_MAX_THREADS, GC_RETURN_FREED, GC_USE_LARGE_PAGES,
    gc_compiled, gc_isa, gc_launch, gc_loop, gc_progress, gc_ref, gc_run_launches, gc_run_team, gc_slice,
    gc_stage, gc_step, gc_step_profile, gc_team, gc_team_dispose, gc_team_prepare, gc_team_together,
    posix_memalign,
)

import numpy as np

from graphc.errors import InternalError
from graphc.plan.plan import copied_outputs
from graphc.plan.stages import group, sharable_work

cnp.import_array()

cdef int64_t LARGE_PAGE = 1 << 21
ctypedef void (*Watcher)() noexcept nogil

cdef struct Dead:  # pairs (offset, bytes)
    int64_t *pairs
    int64_t count

cdef struct Poison:  # what is over after each launch
    char *arena
    Dead *dead

cdef void fill_dead(void *context, int64_t launch) noexcept nogil:
    cdef Poison *poison = <Poison *> context
    cdef Dead dead = poison.dead[launch]
    cdef int64_t i
    for i in range(dead.count):
        memset(poison.arena + dead.pairs[2 * i], 0xFF, dead.pairs[2 * i + 1])

IMAGE_FORMAT = GC_IMAGE_FORMAT  # of the libraries that are run here
MOST_THREADS = GC_MAX_THREADS  # of a step


cdef class Block:
    """64-byte aligned memory that lives as long as the object. `cleared` memory starts as zeros."""

    cdef char *memory
    cdef readonly int64_t nbytes

    def __cinit__(self, int64_t nbytes, bint cleared=True):
        cdef void *memory = NULL
        cdef bint is_large = nbytes >= 2 * LARGE_PAGE
        self.nbytes = nbytes
        if posix_memalign(&memory, LARGE_PAGE if is_large else 64, max(nbytes, 64)):
            raise MemoryError(f"cannot allocate {nbytes} bytes")
        if is_large:
            GC_USE_LARGE_PAGES(memory, nbytes)
        self.memory = <char *> memory
        if cleared:
            memset(memory, 0, nbytes)

    def __dealloc__(self):
        free(self.memory)


cdef Block integers(values):
    """A block of int64."""
    cdef list items = list(values)
    cdef Block block = Block(8 * len(items))
    cdef int64_t i
    for i in range(len(items)):
        (<int64_t *> block.memory)[i] = items[i]
    return block


cdef Block slices(values):
    """A block of the slices of a loop."""
    cdef list items = list(values)
    cdef Block block = Block(sizeof(gc_slice) * len(items))
    cdef int64_t i
    for i in range(len(items)):
        (<gc_slice *> block.memory)[i] = gc_slice(items[i].buffer, items[i].of, items[i].offset, items[i].step)
    return block


cdef Block refs(values):
    """A block of operands."""
    cdef list items = list(values)
    cdef Block block = Block(sizeof(gc_ref) * len(items))
    cdef int64_t i
    for i in range(len(items)):
        if items[i].buffer < -1:
            raise InternalError("executor: kernels of the CPU leave no results in registers")
        (<gc_ref *> block.memory)[i] = gc_ref(items[i].buffer, items[i].offset)
    return block


def return_freed_memory():
    """Give what the process has freed back to the system, where the C library would keep it for later."""
    with nogil:
        GC_RETURN_FREED()


def table_bytes(plan, code=None):
    """The bytes of the tables that an executor makes for `plan`, without making them.

    `code` is the capsule with the kernels that the plan's launches name, or None where a library holds the launches.
    """
    cdef const gc_isa *isa = NULL
    cdef Block encoded
    stages = group(plan.launches, plan.loops)
    cdef int64_t total = sizeof(char *) * len(plan.buffers) + 16 * (len(plan.inputs) + len(plan.outputs))
    total += sum(sizeof(gc_loop) + sizeof(gc_slice) * len(loop.slices) for loop in plan.loops)
    total += sizeof(gc_team) + (sizeof(gc_progress) + sizeof(gc_stage)) * len(stages)
    total += sum(8 * len(stage.depends) for stage in stages)
    if code is None:
        return total
    isa = <const gc_isa *> PyCapsule_GetPointer(code, GC_ISA_CAPSULE)
    for launch in plan.launches:
        total += sizeof(gc_launch) + 8 * len(launch.params)
        total += sizeof(gc_ref) * (len(launch.operands) + len(launch.program_operands))
    for words in plan.programs:
        encoded = integers(words)
        total += isa.program_size(<int64_t *> encoded.memory, len(words))
    return total


@cython.no_gc_clear  # __dealloc__ needs the blocks
cdef class Executor:
    """A plan made ready to run.

    `parameters` and `constants` are the arrays behind the plan's buffers of these names; they are used where they
    are. `code` is what the launches run: a capsule with an instruction set level's kernels (isa.h), or with the image of
    a library compiled for this very plan (step.h). `seed` and `step` are the state of the random
    numbers; a completed run raises `step` by one. Runs must take turns (`Program` sees to that).
    Raises InternalError when the plan and what it is given do not fit together.
    """

    cdef readonly object plan
    cdef readonly object stages
    cdef readonly int threads
    cdef readonly bint is_elsewhere
    cdef readonly int64_t table_bytes, arena_bytes, scratch_bytes
    cdef list kept, blocks, copies
    cdef Block arena, scratch
    cdef const gc_isa *isa
    cdef char **buffers
    cdef int64_t *inputs
    cdef int64_t *input_bytes
    cdef int64_t *outputs
    cdef int64_t *output_bytes
    cdef int64_t input_count, output_count
    cdef gc_team *team
    cdef uint64_t random[2]
    cdef Watcher before, after

    def __init__(self, plan, parameters, constants, code, int threads=1, uint64_t seed=0):
        if not 1 <= threads <= GC_MAX_THREADS:
            raise InternalError(f"an executor runs on 1 to {GC_MAX_THREADS} threads, not {threads}")
        self.plan, self.threads, self.blocks = plan, threads, []
        self.kept = [code, list(parameters), list(constants)]
        self.random[0], self.random[1] = seed, 0
        self._place_buffers()
        self._bind_storage(plan.parameters, self.kept[1], "parameter")
        self._bind_storage(plan.constants, self.kept[2], "constant")
        self._bind_call()
        self._prepare_team(self._image(code) if PyCapsule_IsValid(code, GC_IMAGE_CAPSULE) else self._launches(code))

    def __dealloc__(self):
        if self.team != NULL:
            gc_team_dispose(self.team)

    cdef char *_keep(self, Block block):
        """The address of a block that lives as long as the executor."""
        self.blocks.append(block)
        self.table_bytes += block.nbytes
        return block.memory

    cdef _place_buffers(self):
        cdef Block arena = Block(self.plan.arena_bytes, False)
        cdef int64_t i
        self.arena = arena
        self.buffers = <char **> self._keep(Block(sizeof(char *) * len(self.plan.buffers)))
        self.arena_bytes = arena.nbytes
        for i, buffer in enumerate(self.plan.buffers):
            if buffer.space == "arena":
                self.buffers[i] = arena.memory + <int64_t> buffer.offset
        if self.plan.rng >= 0:
            self.buffers[<int64_t> self.plan.rng] = <char *> self.random

    cdef _bind_storage(self, positions, list arrays, str kind):
        if len(positions) != len(arrays):
            raise InternalError(f"executor: the plan has {len(positions)} {kind}s, given are {len(arrays)}")
        cdef cnp.ndarray array
        for position, array in zip(positions, arrays):
            buffer = self.plan.buffers[position]
            writable = kind == "constant" or cnp.PyArray_ISWRITEABLE(array)
            if array.nbytes != buffer.nbytes or not cnp.PyArray_ISCARRAY_RO(array) or not writable:
                raise InternalError(
                    f"executor: {kind} {buffer.name!r} needs a contiguous array of {buffer.nbytes} bytes, "
                    f"got {array.dtype}{list(np.shape(array))}"
                )
            self.buffers[<int64_t> position] = <char *> cnp.PyArray_DATA(array)

    cdef _bind_call(self):
        """Which buffers a call fills in. The others are copied after the run."""
        plan = self.plan
        sizes = [buffer.nbytes for buffer in plan.buffers]
        self.input_count, self.output_count = len(plan.inputs), len(plan.outputs)
        self.inputs = <int64_t *> self._keep(integers(plan.inputs))
        self.input_bytes = <int64_t *> self._keep(integers(sizes[i] for i in plan.inputs))
        self.outputs = <int64_t *> self._keep(integers(plan.outputs))
        self.output_bytes = <int64_t *> self._keep(integers(sizes[i] for i in plan.outputs))
        self.copies = copied_outputs(plan)

    cdef _prepare_team(self, const gc_launch *launches):
        cdef int64_t stride = -(-max(self.plan.scratch_bytes, 1) // 64) * 64
        cdef Block scratch = Block(stride * self.threads, False)
        self.scratch, self.scratch_bytes = scratch, scratch.nbytes
        self.stages = tuple(group(self.plan.launches, self.plan.loops))
        self.team = <gc_team *> self._keep(Block(sizeof(gc_team)))
        self.team.step = gc_step(
            launches, len(self.plan.launches), self._loops(), len(self.plan.loops), self.buffers, scratch.memory, stride
        )
        self.team.stages = self._stages()
        self.team.stage_count = len(self.stages)
        self.team.progress = <gc_progress *> self._keep(Block(sizeof(gc_progress) * len(self.stages)))
        self.team.work = sharable_work(self.stages)
        gc_team_prepare(self.team)

    cdef const gc_launch *_image(self, code) except NULL:
        """The launches of a compiled program."""
        cdef const gc_compiled *image = <const gc_compiled *> PyCapsule_GetPointer(code, GC_IMAGE_CAPSULE)
        if image.format != GC_IMAGE_FORMAT:
            raise InternalError(f"executor: the library has format {image.format}, this graphc runs {GC_IMAGE_FORMAT}")
        if image.launch_count != len(self.plan.launches) or image.loop_count != len(self.plan.loops) or any(
            image.launches[i].tiles != record.tiles for i, record in enumerate(self.plan.launches)
        ):
            raise InternalError("executor: the library was not compiled for this plan")
        return image.launches

    cdef const gc_launch *_launches(self, code) except NULL:
        """Launches of prebuilt kernels and of tile programs."""
        cdef gc_launch *launches = <gc_launch *> self._keep(Block(sizeof(gc_launch) * len(self.plan.launches)))
        cdef gc_launch *launch
        cdef int64_t i
        self.isa = <const gc_isa *> PyCapsule_GetPointer(code, GC_ISA_CAPSULE)
        programs = [self._decode(i, words) for i, words in enumerate(self.plan.programs)]
        for i, record in enumerate(self.plan.launches):
            launch = &launches[i]
            launch.kernel = self.isa.kernel(record.kernel.encode())
            if launch.kernel == NULL:
                raise InternalError(f"executor: launch {i} ({record.label}) asks for kernel {record.kernel!r}, which is not there")
            launch.tiles = record.tiles
            launch.operands = <const gc_ref *> self._keep(refs(record.operands))
            launch.params = <const int64_t *> self._keep(integers(record.params))
            launch.program_operands = <const gc_ref *> self._keep(refs(record.program_operands))
            if record.program >= 0:
                launch.program = <const void *> <uintptr_t> programs[record.program]
                self._check_program(i, record, launch.program)
        return launches

    def _decode(self, position, words):
        """The address of a decoded tile program."""
        cdef Block encoded = integers(words)
        cdef int64_t size = self.isa.program_size(<int64_t *> encoded.memory, len(words))
        if size < 0:
            raise InternalError(f"executor: tile program {position} is malformed: {words[:16]}...")
        cdef Block program = Block(size)
        if self.isa.program_decode(<int64_t *> encoded.memory, len(words), program.memory):
            raise InternalError(f"executor: tile program {position} is malformed: {words[:16]}...")
        return <uintptr_t> self._keep(program)

    cdef _check_program(self, position, record, const void *program):
        """A tile program may touch so many bytes of each operand; they must lie in the operand's buffer."""
        cdef int64_t needed, number = 0
        for number, ref in enumerate(record.program_operands):
            needed = self.isa.operand_bytes(program, number)
            if ref.buffer == -1:
                continue  # a result in scratch memory, as large as its kernel makes it
            if needed < 0 or (record.tiles and ref.offset + needed > self.plan.buffers[ref.buffer].nbytes):
                raise InternalError(
                    f"executor: operand {number} of launch {position} ({record.label}) needs {needed} bytes from {ref} on; "
                    f"the buffer is {self.plan.buffers[ref.buffer]}"
                )
        number = len(record.program_operands)
        if self.isa.operand_bytes(program, number) >= 0:
            raise InternalError(f"executor: launch {position} ({record.label}) has only {number} operands for its program")

    cdef const gc_loop *_loops(self) except NULL:
        cdef gc_loop *loops = <gc_loop *> self._keep(Block(sizeof(gc_loop) * len(self.plan.loops)))
        cdef int64_t i
        for i, record in enumerate(self.plan.loops):
            loops[i].first, loops[i].last, loops[i].count = record.first, record.last, record.count
            loops[i].slices = <const gc_slice *> self._keep(slices(record.slices))
            loops[i].slice_count = len(record.slices)
        return loops

    cdef const gc_stage *_stages(self) except NULL:
        cdef gc_stage *stages = <gc_stage *> self._keep(Block(sizeof(gc_stage) * len(self.stages)))
        cdef int64_t i
        for i, record in enumerate(self.stages):
            stages[i].first, stages[i].last, stages[i].loop = record.first, record.last, record.loop
            stages[i].tiles, stages[i].grain = record.tiles, record.grain
            stages[i].depends = <int64_t *> self._keep(integers(record.depends))
            stages[i].depend_count = len(record.depends)
        return stages

    # Running -----------------------------------------------------------------------------------------------------
    @property
    def seed(self):
        return self.random[0]

    @seed.setter
    def seed(self, uint64_t value):
        self.random[0] = value

    @property
    def step(self):
        return self.random[1]

    @step.setter
    def step(self, uint64_t value):
        self.random[1] = value

    def watch(self, uintptr_t before, uintptr_t after):
        """Call the C functions `void before(void)`, `void after(void)` at these addresses around each step (0: none)."""
        self.before, self.after = <Watcher> before, <Watcher> after

    def poison(self):
        """Fill arena and scratch memory with bytes that are NaN in every float type. Tests do so between steps: what a
        step reads there, it must have written."""
        memset(self.arena.memory, 0xFF, self.arena.nbytes)
        memset(self.scratch.memory, 0xFF, self.scratch.nbytes)

    cdef int _bind(self, list inputs, list outputs) except -1:
        cdef int64_t i
        if len(inputs) != self.input_count or len(outputs) != self.output_count:
            raise InternalError(f"executor: called with {len(inputs)} inputs and {len(outputs)} outputs")
        for i in range(self.input_count):
            self.buffers[self.inputs[i]] = data(inputs[i], self.input_bytes[i])
        for i in range(self.output_count - 1, -1, -1):
            if not self.copies or i not in self.copies:
                self.buffers[self.outputs[i]] = data(outputs[i], self.output_bytes[i])
        return 0

    cdef int _finish(self, list outputs) except -1:
        cdef int64_t position
        self.random[1] += 1
        for position in self.copies:
            memcpy(
                cnp.PyArray_DATA(outputs[position]), self.buffers[self.outputs[position]], self.output_bytes[position]
            )
        return 0

    def run(self, list inputs not None, list outputs not None):
        """Run one step: read the arrays `inputs`, fill the arrays `outputs`, all contiguous and of the plan's types."""
        self._bind(inputs, outputs)
        with nogil:
            if self.before != NULL:
                self.before()
            gc_run_team(self.team, self.threads)
            if self.after != NULL:
                self.after()
        self._finish(outputs)

    def run_together(self, list inputs not None, list outputs not None):
        """`run` on all threads, however little work there is. The results are the same; tests compare them."""
        self._bind(inputs, outputs)
        with nogil:
            gc_team_together(self.team, self.threads)
        self._finish(outputs)

    def run_poisoned(self, list inputs not None, list outputs not None, list dead not None):
        """`run` launch by launch on one thread, in memory that holds nothing but what launches wrote.

        After launch i, in each iteration of its loops, `dead[i]`, pairs (offset, bytes) of the arena, are filled with
        bytes that are NaN. Tests do so with what plans say is over: no later launch may read it.
        """
        cdef int64_t i, offset, nbytes
        cdef list blocks = [integers([x for pair in pairs for x in pair]) for pairs in dead]
        cdef Block starts = Block(sizeof(Dead) * len(blocks))
        cdef Poison poison
        for i in range(len(blocks)):
            for offset, nbytes in dead[i]:
                if not 0 <= offset <= offset + nbytes <= self.arena.nbytes:
                    raise InternalError(f"executor: bytes {offset} to {offset + nbytes} are not in the arena")
            (<Dead *> starts.memory)[i] = Dead(<int64_t *> (<Block> blocks[i]).memory, len(dead[i]))
        poison.arena, poison.dead = self.arena.memory, <Dead *> starts.memory
        self._bind(inputs, outputs)
        self.poison()
        gc_run_launches(&self.team.step, 0, len(blocks), 0, self.team.step.scratch, fill_dead, &poison)
        self._finish(outputs)

    def run_profiled(self, list inputs not None, list outputs not None):
        """`run` on one thread; answers with the nanoseconds that each launch took."""
        cdef Block elapsed = Block(8 * len(self.plan.launches))
        self._bind(inputs, outputs)
        with nogil:
            gc_step_profile(&self.team.step, <int64_t *> elapsed.memory)
        self._finish(outputs)
        return [(<int64_t *> elapsed.memory)[i] for i in range(len(self.plan.launches))]


cdef char *data(array, int64_t nbytes) except? NULL:
    """The address of a contiguous array of at least `nbytes`."""
    if not isinstance(array, cnp.ndarray) or not cnp.PyArray_ISCARRAY_RO(array) or cnp.PyArray_NBYTES(array) < nbytes:
        raise InternalError(f"executor: expected a contiguous array of {nbytes} bytes, got {type(array).__name__}")
    return <char *> cnp.PyArray_DATA(array)
