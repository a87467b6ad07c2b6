"""Rows of JSON Lines with The Stack's fields: content, path, language, licenses."""

import gzip
import json
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from codex_jax.data.languages import language_named


class Row(NamedTuple):
    """A row's fields, or the reason why it has none."""

    name: str  # its number in the file, and its path
    path: str = ""
    content: bytes = b""
    language: str | None = None  # of the table; None where the row names none of them
    license: str = ""
    reason: str = ""


def read_rows(stream: BinaryIO, max_bytes: int) -> Iterator[Row]:
    """Yields the rows of a file, through gzip where it is compressed; blank lines are none.

    Raises:
      OSError, EOFError, zlib.error: the compressed stream is damaged; the rows before are yielded.
    """
    longest = 2 * max_bytes + 100_000  # escapes need space in JSON
    lines = _decompress(stream)
    number = 0
    while line := lines.readline(longest):
        number += 1
        if not line.endswith(b"\n") and len(line) == longest:
            skip_line(lines, longest)
            yield Row(f"{number}", reason="too large")
        elif line.strip():
            yield _parse(line, number, max_bytes)


def _decompress(stream: BinaryIO) -> BinaryIO:
    is_gzip = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return cast(BinaryIO, gzip.open(stream)) if is_gzip else stream


def skip_line(lines: BinaryIO, longest: int) -> bool:
    """Reads to the end of a line, at most `longest` bytes at a time; False if the file ends."""
    while rest := lines.readline(longest):
        if rest.endswith(b"\n"):
            return True
    return False


def _parse(line: bytes, number: int, max_bytes: int) -> Row:
    try:
        fields = json.loads(line)
        content = fields["content"].encode()
    except UnicodeError:
        return Row(f"{number}", reason="not UTF-8")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Row(f"{number}", reason="not a record")
    path = str(fields.get("max_stars_repo_path") or fields.get("path") or "")
    licenses = fields.get("max_stars_repo_licenses") or fields.get("licenses") or []
    license = " OR ".join(map(str, licenses)) if isinstance(licenses, list) else str(licenses)
    license = license.encode("utf-8", "replace").decode()  # half a surrogate pair has no bytes
    language = language_named(str(fields.get("lang") or fields.get("language") or ""))
    reason = "too large" if len(content) > max_bytes else ""
    return Row(f"{number}/{path}", path, content, language, license, reason)
