"""The records that stages exchange, and their JSON Lines form."""

import dataclasses
import gzip
import json
import pathlib
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from codex_jax import InputError
from codex_jax.files import atomic_path
from codex_jax.remote.paths import check_local


class Batch(NamedTuple):
    """Packed rows, B sequences of T tokens, as numpy or JAX arrays; a pytree for JAX."""

    tokens: Any  # int32 (B, T): input ids
    targets: Any  # int32 (B, T): ids of the next tokens
    segment_ids: Any  # int32 (B, T): 0 is padding, documents of a row count from 1
    positions: Any  # int32 (B, T): from 0 in each document
    loss_weights: Any  # float32 (B, T): 0 on padding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """A task in HumanEval's format: `test` defines check(candidate)."""

    task_id: str
    prompt: str
    entry_point: str = ""
    test: str = ""
    canonical_solution: str = ""
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


class _Unnumbered(int):
    """The index of a sample whose row has none: 0, and unlike a 0 that is written there."""


UNNUMBERED = _Unnumbered(0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion:
    """A sample of a problem. Log-probabilities are in nats, of the raw distribution."""

    task_id: str
    completion: str
    sample_index: int = UNNUMBERED
    mean_logprob: float | None = None
    sum_logprob: float | None = None
    tokens: int | None = None  # sampled tokens, the ending one included
    finish_reason: str = ""  # "stop" (stop string or end of text) or "length"
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """Verdict of the sandbox on one completion."""

    task_id: str
    sample_index: int = 0
    verdict: str  # "passed", "failed", "timed out", "crashed"
    cause: str = ""  # finer: "wrong_answer", "exception", "time_limit", ...
    detail: str = ""
    isolation: str = ""  # backend that ran it: "gvisor" or "bubblewrap"
    seconds: float | None = None  # CPU time
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the completion passed its tests."""
        return self.verdict == "passed"


class Answer(NamedTuple):
    """Plain values that one call of a program in the sandbox gave: a value, or an exception."""

    value: Any = None  # a list where the program returned an iterator
    arguments: list[Any] | None = None  # after the call, if it changed them
    error: str = ""  # "ValueError: message" if it raised


class Run(NamedTuple):
    """Answers of a program to its calls, in order; fewer than the calls if it ended early."""

    answers: list[Answer]
    cpu_s: float
    reason: str = ""  # why there are fewer answers, in a line


Record = TypeVar("Record", Problem, Completion, Verdict)


_TEXTS = ("task_id", "prompt", "completion", "test", "entry_point", "verdict", "canonical_solution")
_NUMBERS = ("mean_logprob", "sum_logprob", "seconds")
_LARGEST = sys.float_info.max
_SURROGATE = re.compile("[\ud800-\udfff]")


def open_text(path: pathlib.Path | str, mode: str = "r") -> Any:
    """Opens a UTF-8 text file, through gzip if the name ends in .gz; a byte order mark is none."""
    opener = gzip.open if str(path).endswith(".gz") else open
    return opener(path, mode + "t", encoding="utf-8-sig" if mode == "r" else "utf-8")


def read_lines(path: pathlib.Path | str, content: str) -> Iterator[tuple[str, str]]:
    """Yields (file and line number, text) of the lines of JSON Lines, but for blank ones.

    Args:
      path: the file.
      content: of the lines, for the message where there is no file.

    Raises:
      InputError: the file is missing or damaged.
    """
    check_local(path)
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path}: no such file; expected JSON Lines of {content}")
    number = 0
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}:{number}", line
    except UnicodeDecodeError as error:
        reason = f"a byte that is no UTF-8 ({error.reason})"
        raise InputError(f"{path}:{number + 1} or later: {reason}; save it as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:  # gzip's own, and what no user may read
        reason = " ".join(str(error).split())
        raise InputError(f"{path}:{number + 1}: can't be read ({reason}); expected text") from None


def parse_object(line: str, where: str) -> dict[str, Any]:
    """Parses a line of JSON as an object; `where` begins the error message."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:  # numbers of too many digits, lists too deep
        raise InputError(f"{where}: not JSON that Python reads ({error})") from None
    if not isinstance(fields, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(fields).__name__}")
    return fields


def read_jsonl(path: pathlib.Path | str, record_type: type[Record]) -> Iterator[Record]:
    """Yields the records of a JSON Lines file; unknown fields, also one named extra, go to `extra`.

    Raises:
      InputError: the file is missing, or a line is malformed (its number is named).
    """
    for where, line in read_lines(path, f"{record_type.__name__}s"):
        yield parse_record(line, record_type, where=where)


def read_input(path: pathlib.Path | str, record_type: type[Record]) -> list[Record]:
    """Returns the records of a file that a person sets.

    Raises:
      InputError: as `read_jsonl` does; or the file has none.
    """
    rows = list(read_jsonl(path, record_type))
    if not rows:
        content = f"{record_type.__name__.lower()}s"
        raise InputError(f"{path}: no {content}; expected JSON Lines of {content}")
    return rows


def parse_record(line: str, record_type: type[Record], *, where: str) -> Record:
    """Parses one line of JSON as a record; `where` begins the error message."""
    fields = parse_object(line, where)
    names, required = _FIELDS[record_type]
    if missing := [name for name in required if name not in fields]:
        raise InputError(f"{where}: {record_type.__name__} lacks {', '.join(missing)}")
    if fields.get("canonical_solution", "") is None:  # of a problem without a reference
        del fields["canonical_solution"]
    for name in _TEXTS:
        if name in names and not isinstance(fields.get(name, ""), str):
            raise InputError(
                f"{where}: {name} must be a string, found {type(fields[name]).__name__}"
            )
    for name in _NUMBERS:
        if name in names and not _is_finite(fields.get(name)):
            raise InputError(
                f"{where}: {name} is {fields[name]!r:.40}; expected a finite number, or null"
            )
    if _SURROGATE.search(fields["task_id"]):
        raise InputError(f"{where}: task_id holds a lone surrogate; expected text of UTF-8")
    names -= {"extra"}  # a line's field of that name is one more that isn't known
    extra = {name: value for name, value in fields.items() if name not in names}
    values = {name: value for name, value in fields.items() if name in names}
    return record_type(**values, extra=extra)


def _is_finite(value: Any) -> bool:
    """Whether a value is a number that a float holds, or None."""
    if value is None or isinstance(value, bool):
        return value is None
    return isinstance(value, int | float) and -_LARGEST <= value <= _LARGEST


def _fields(record_type: type[Record]) -> tuple[frozenset[str], list[str]]:
    """Returns the names of a record's fields, and of its required fields."""
    fields = dataclasses.fields(record_type)
    return frozenset(f.name for f in fields), [
        f.name for f in fields if f.default is f.default_factory
    ]


_FIELDS = {row: _fields(row) for row in (Problem, Completion, Verdict)}  # type: ignore[type-var]


def to_line(record: Problem | Completion | Verdict) -> str:
    """Formats the record as a line of JSON: `extra` merged with its fields, None left out."""
    fields = dict(vars(record))
    fields.update(fields.pop("extra"))
    present = {k: v for k, v in fields.items() if v is not None and not isinstance(v, _Unnumbered)}
    line = json.dumps(present, ensure_ascii=False)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)  # UTF-8 has no form of it


def write_jsonl(path: pathlib.Path | str, records: Iterable[Record]) -> int:
    """Writes records to a temporary file that then replaces `path`; returns their number."""
    count = 0
    with atomic_path(path) as partial, open_text(partial, "w") as out:
        for record in records:
            out.write(to_line(record) + "\n")
            count += 1
    return count
