"""Whether a shared library is all there: the system's loader maps what a file promises, and a lack ends the process.

Looks at ELF files of 64 bits in little-endian order; files of another kind are left to the loader, which refuses what
it does not know.
"""

from __future__ import annotations

import struct

__all__ = ["is_cut"]

_IDENTITY = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NO_BITS = 8  # the type of sections that take no room in the file


def is_cut(data: bytes) -> bool:
    """Whether the contents of an ELF file end before its header, its tables, or a segment or section of these."""
    if not data.startswith(_IDENTITY):
        return False
    try:
        header = _HEADER.unpack_from(data)
        _, _, _, _, _, segments, sections, _, _, segment_size, segment_count, section_size, section_count, _ = header
        ends = [_segment_end(data, segments + i * segment_size) for i in range(segment_count)]
        ends += [_section_end(data, sections + i * section_size) for i in range(section_count)]
    except struct.error:
        return True
    return max(ends, default=0) > len(data)


def _segment_end(data: bytes, at: int) -> int:
    _, _, offset, _, _, size, _, _ = _SEGMENT.unpack_from(data, at)
    return int(offset + size)


def _section_end(data: bytes, at: int) -> int:
    _, kind, _, _, offset, size, _, _, _, _ = _SECTION.unpack_from(data, at)
    return 0 if kind == _NO_BITS else int(offset + size)
