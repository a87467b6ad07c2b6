"""TensorBoard's event files, written without TensorFlow: TFRecords of Event messages.

Formats: tensorflow/core/util/event.proto and summary.proto, and Protocol Buffers' encoding guide.
"""

import math
import pathlib
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any

from codex_jax.ranges import FLOAT32_MAX

_VERSION = "brain.Event:2"
_START = b"\x08\x01"  # SessionLog: status START, which makes TensorBoard forget later steps
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def crc32c(content: bytes) -> int:
    """Returns the Castagnoli checksum (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frame(content: bytes) -> bytes:
    """Returns a TFRecord: length, its masked checksum, content, its masked checksum."""

    def masked(part: bytes) -> bytes:
        crc = crc32c(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _event(step: int, field: int, content: bytes) -> bytes:
    seconds = _varint(1 << 3 | _FIXED64) + struct.pack("<d", time.time())
    return frame(seconds + _varint(2 << 3 | _VARINT) + _varint(step) + _bytes(field, content))


def _summary(values: Mapping[str, float]) -> bytes:
    scalars = (
        _bytes(1, tag.encode()) + _varint(2 << 3 | _FIXED32) + struct.pack("<f", _clip(value))
        for tag, value in values.items()
    )
    return b"".join(_bytes(1, scalar) for scalar in scalars)


def _clip(value: float) -> float:
    """Returns the nearest number that 32 bits hold; infinities and nan stay."""
    return min(max(value, -FLOAT32_MAX), FLOAT32_MAX) if math.isfinite(value) else value


class EventFile:
    """Appends metrics to an event file of its own; the former ones of a resumed run stay."""

    def __init__(self, folder: pathlib.Path, *, start: int):
        """Chooses the file, which the first metrics create; `start` is the first step."""
        self._path = folder / f"events.out.tfevents.{time.time_ns() // 1_000_000_000}.{start}"
        self._start = start

    def write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Writes lines of metrics, {"step": …, name: number, …} each."""
        events = [
            _event(line["step"], 5, _summary({k: v for k, v in line.items() if k != "step"}))
            for line in lines
        ]
        if not self._path.exists():
            events = [_event(0, 3, _VERSION.encode()), _event(self._start, 7, _START), *events]
        with self._path.open("ab") as out:
            out.write(b"".join(events))
