"""The output file of batch sampling: completions, and a manifest of the settings they depend on."""

import json
import os
import pathlib
from typing import Any

from codex_jax import InputError
from codex_jax.files import atomic_write, repair_jsonl
from codex_jax.records import Completion, read_jsonl, to_line


class CompletionsFile:
    """Completions, appended as they finish; reopened, it continues.

    The unfinished last line of a killed run is removed. The manifest is stored next to the file, so
    that a run with other settings is refused rather than mixed in.
    """

    def __init__(self, path: pathlib.Path | str, manifest: dict[str, Any]):
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_manifest(manifest)
        repair_jsonl(self.path)
        present = read_jsonl(self.path, Completion) if self.path.exists() else ()
        self.done = {(line.task_id, line.sample_index) for line in present}
        self._out = self.path.open("a", encoding="utf-8")

    def _check_manifest(self, manifest: dict[str, Any]) -> None:
        path = self.path.with_name(self.path.name + ".job.json")
        manifest = json.loads(json.dumps(manifest))
        if path.exists() and self.path.exists():
            before = json.loads(path.read_text("utf-8"))
            names = sorted(before.keys() | manifest.keys())
            differing = [name for name in names if before.get(name) != manifest.get(name)]
            if differing:
                name = differing[0]
                raise InputError(
                    f"{self.path} has samples of another run ({', '.join(differing)} differ: "
                    f"{name} was {before.get(name)}, is {manifest.get(name)}); set output to "
                    "another file, or remove this one"
                )
        atomic_write(path, json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    def append(self, completion: Completion) -> None:
        """Adds a line, unless the sample is in the file; `flush` makes it durable."""
        key = completion.task_id, completion.sample_index
        if key not in self.done:
            self.done.add(key)
            self._out.write(to_line(completion) + "\n")

    def flush(self) -> None:
        """Writes everything appended to disk.

        Raises:
          InputError: the disk refused it.
        """
        try:
            self._out.flush()
            os.fsync(self._out.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path}: {error.strerror}; free space or set output to another disk, and run "
                "again to resume"
            ) from None

    def __enter__(self) -> "CompletionsFile":  # noqa: PYI034 - beartype checks no Self in a hook
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()
        self._out.close()
