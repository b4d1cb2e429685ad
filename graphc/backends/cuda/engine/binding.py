"""How the arrays of a call find their places where some are on the device already, as inputs or as `out=`.

Those on the device are held against the inputs and outputs here and stay where they are; the rest is as in
runtime/binding.pyx, which sees a place of the host in their stead. What is used as an index is copied to that place and
checked there, as kernels trust it. Raises InputError before anything has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.engine.device_array import DeviceArray
from graphc.backends.cuda.engine.lent import Lent, lent_by
from graphc.errors import GraphcError, InputError, with_location
from graphc.ir.ranges import IndexRange
from graphc.runtime.argument import Argument
from graphc.runtime.binding import Binding
from graphc.runtime.foreign import lies_on_device

__all__ = ["DeviceBinding"]

Views = Sequence[np.ndarray[Any, Any]]


class DeviceBinding(Binding):
    """A binding whose arrays may be on a device. `given` and `taken` are places on the host of inputs and outputs."""

    def __init__(
        self,
        inputs: Sequence[Argument],
        outputs: Sequence[Argument],
        structure: str,
        protected: Iterable[Any],
        ranges: Sequence[IndexRange],
        device: Device,
        given: Views,
        taken: Views,
    ) -> None:
        super().__init__(inputs, outputs, structure, protected, ranges)
        self._inputs, self._outputs, self._device = tuple(inputs), tuple(outputs), device
        self._given, self._taken = given, taken
        self._positions = {argument.name: at for at, argument in enumerate(inputs)}
        self._checked = {rule.input for rule in ranges}

    # Inputs ----------------------------------------------------------------------------------------------------------
    def inputs(self, arrays: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        """The arrays of a call in the inputs' order, checked: NumPy's, or what is lent."""
        by_position = {at: value for at, value in enumerate(arrays) if _is_lent(value)}
        by_name = {name: value for name, value in named.items() if _is_lent(value)}
        if not by_position and not by_name:
            return super().inputs(arrays, named)
        seen = [self._given[at] if at in by_position and at < len(self._inputs) else v for at, v in enumerate(arrays)]
        placed = {name: self._given[self._positions[name]] for name in by_name if name in self._positions}
        bound = super().inputs(tuple(seen), {**named, **placed})
        for at, value in (*by_position.items(), *((self._positions[name], value) for name, value in by_name.items())):
            bound[at] = self._lent(value, self._inputs[at], "input")
        return bound

    def placed(self, arrays: list[Any]) -> list[Any]:
        """`arrays` where a step can read them. Raises InputError for an index out of range, on the device as well."""
        lent = {at: array for at, array in enumerate(arrays) if isinstance(array, Lent)}
        if not lent:
            return super().placed(arrays)
        for at in self._checked & lent.keys():
            self._device.enter()
            self._device.receive(self._given[at].reshape(-1), lent[at].address)
            self._device.wait()
        found = super().placed([self._given[at] if at in lent else array for at, array in enumerate(arrays)])
        return [lent.get(at, array) for at, array in enumerate(found)]

    # Outputs ---------------------------------------------------------------------------------------------------------
    def outputs(self, out: Any, inputs: list[Any]) -> list[Any]:
        """The arrays to fill: new ones of NumPy or, for "device", of the device, or those in `out`."""
        hosts = [array for array in inputs if isinstance(array, np.ndarray)]
        if isinstance(out, str) and out == "device":
            self._device.enter()
            return [DeviceArray(self._device, argument.type) for argument in self._outputs]
        if out is None:
            return super().outputs(out, hosts)
        arrays = self.unpack(out)
        lent = {at: array for at, array in enumerate(arrays) if _is_lent(array)}
        if not lent:
            return super().outputs(out, hosts)
        seen = [self._taken[at] if at in lent else array for at, array in enumerate(arrays)]
        found = super().outputs(self.pack(seen), hosts)
        taken = [(array, "an input") for array in inputs if isinstance(array, Lent)]
        for at, array in lent.items():
            found[at] = self._writable(array, self._outputs[at], taken)
            taken.append((found[at], "another out= array"))
        return found

    def _writable(self, value: Any, argument: Argument, taken: Sequence[tuple[Lent, str]]) -> Lent:
        """What an `out=` array lends, which may be written to and overlaps nothing."""
        found = self._lent(value, argument, "out= for")
        if found.is_read_only:
            raise InputError(f"out= array for {argument.name!r} is read-only")
        for other, what in taken:
            if found.address < other.address + other.nbytes and other.address < found.address + found.nbytes:
                raise InputError(f"out= array for {argument.name!r} overlaps {what}; give it memory of its own")
        return found

    # Both ------------------------------------------------------------------------------------------------------------
    def _lent(self, value: Any, argument: Argument, what: str) -> Lent:
        """What an array lends that is given as `what`, of exactly this shape and dtype."""
        self._device.enter()
        try:
            found = lent_by(self._device, value)
        except GraphcError:
            raise
        except Exception as error:  # another library's, which says what to do
            raise _fault(argument, what, type(value).__name__, f": {error}") from error
        kind = argument.type
        if found.shape != kind.shape:
            raise _fault(argument, what, found, f": the shape must be {kind.shape}")
        if found.dtype != kind.dtype.name:
            raise _fault(argument, what, found, f"; convert it first to {kind.dtype.name}")
        if not found.is_contiguous:
            raise _fault(argument, what, found, " that is not C-contiguous; make it so first, as by .contiguous()")
        if found.address % kind.dtype.itemsize:
            raise _fault(argument, what, found, f" at an address that is no multiple of {kind.dtype.itemsize} bytes")
        return found


def _is_lent(value: Any) -> bool:
    return not isinstance(value, np.ndarray) and lies_on_device(value)


def _fault(argument: Argument, what: str, came: Any, reason: str) -> InputError:
    error = InputError(f"{what} {argument.name!r} takes {argument.type}, got {came}{reason}")
    return with_location(error, argument.location or None)
