"""The output file of batch sampling: completions, and a manifest of the settings they depend on."""

import fcntl
import gzip
import json
import os
import pathlib
import zlib
from typing import Any

from codex_jax import InputError
from codex_jax.files import (
    atomic_write,
    claim_file,
    has_json_keys,
    parse_json,
    repair_gzip,
    repair_jsonl,
)
from codex_jax.records import Completion, read_jsonl, to_line


class CompletionsFile:
    """Completions, appended as they finish; reopened, it continues.

    The unfinished last line of a killed run is removed. The manifest is stored next to the file, so
    that a run with other settings is refused rather than mixed in. The file is locked while it is
    open, so that two runs never write to it together. A name in .gz is compressed, a gzip member
    each flush.

    Raises:
      InputError: a file of another run, without a manifest, in use, or that can't be written.
    """

    def __init__(self, path: pathlib.Path | str, manifest: dict[str, Any]):
        self.path = pathlib.Path(path)
        self._lines: list[str] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.is_file():  # opening a pipe would wait for ever
                raise InputError(
                    f"{self.path} is no ordinary file; set output to a file that can be written"
                )
            self._out = self.path.open("ab")
            self._lock()
            self._check_manifest(manifest)
            self._repair()
        except OSError as error:
            raise InputError(
                f"{self.path}: {error.strerror}; set output to a file that can be written"
            ) from None
        except ValueError as error:  # a null byte
            raise InputError(f"output: {error}; set it to a file that can be written") from None
        present = read_jsonl(self.path, Completion)
        self.done = {(line.task_id, line.sample_index) for line in present}

    @property
    def _is_gzip(self) -> bool:
        return self.path.suffix == ".gz"

    def _lock(self) -> None:
        try:
            fcntl.flock(self._out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self.path}: another run writes to it; wait for its end, or set output to "
                "another file"
            ) from None

    def _repair(self) -> None:
        try:
            (repair_gzip if self._is_gzip else repair_jsonl)(self.path)
        except zlib.error:
            raise InputError(
                f"{self.path}: not gzip, as its name says; set output to another file"
            ) from None

    def _check_manifest(self, manifest: dict[str, Any]) -> None:
        path = self.path.with_name(self.path.name + ".job.json")
        manifest = json.loads(json.dumps(manifest))
        if self.path.stat().st_size:
            differing = differences(self._read_manifest(path), manifest)
            if differing:
                name, before, after = differing[0]
                names = dict.fromkeys(name.split(".")[0] for name, _, _ in differing)
                raise InputError(
                    f"{self.path} has samples of another run ({', '.join(names)} differ: {name} "
                    f"was {before}, is {after}); set output to another file, or remove this one"
                )
        claim_file(path, has_json_keys(*manifest), "output")
        atomic_write(path, json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    def _read_manifest(self, path: pathlib.Path) -> dict[str, Any]:
        try:
            manifest = parse_json(path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            manifest = None
        if not isinstance(manifest, dict):
            raise InputError(
                f"{self.path} has lines, but no manifest {path.name} that says which run wrote "
                "them; set output to another file, or remove this one"
            )
        return manifest

    def append(self, completion: Completion) -> None:
        """Adds a line, unless the sample is in the file; `flush` makes it durable."""
        key = completion.task_id, completion.sample_index
        if key not in self.done:
            self.done.add(key)
            self._lines.append(to_line(completion) + "\n")

    def flush(self) -> None:
        """Writes everything appended to disk.

        Raises:
          InputError: the disk refused it.
        """
        content = "".join(self._lines).encode()
        self._lines.clear()
        try:
            if content:
                self._out.write(gzip.compress(content) if self._is_gzip else content)
            self._out.flush()
            os.fsync(self._out.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path}: {error.strerror}; free space or set output to another disk, and run "
                "again to resume"
            ) from None

    def __enter__(self) -> "CompletionsFile":  # noqa: PYI034 - beartype checks no Self in a hook
        return self

    def close(self) -> None:
        """Writes everything appended, and gives the file free; a second call does nothing."""
        if self._out.closed:
            return
        try:
            self.flush()
        finally:
            self._out.close()

    def __exit__(self, *error: object) -> None:
        self.close()


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Returns (name, value before, value after) of each leaf that differs, names joined by dots."""
    differing: list[tuple[str, Any, Any]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            differing += [(f"{name}.{inner}", *values) for inner, *values in differences(old, new)]
        elif old != new:
            differing.append((name, old, new))
    return differing
