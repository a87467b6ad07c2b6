"""The file side of batch sampling: what is asked, what is already there, and the manifest."""

import json
import os
import pathlib
from typing import Any

from codex_jax import InputError
from codex_jax.records import Completion, read_jsonl, to_line


class CompletionsFile:
    """Completions, appended as they finish; opened again, it knows what it has.

    A killed run may leave half a line; it is cut off. Beside the file stands a manifest of what
    the completions depend on, so that a run of other settings is refused rather than mixed in.
    """

    def __init__(self, path: pathlib.Path | str, manifest: dict[str, Any]):
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check(manifest)
        self._repair()
        present = read_jsonl(self.path, Completion) if self.path.exists() else ()
        self.done = {(found.task_id, found.sample_index) for found in present}
        self._out = self.path.open("a", encoding="utf-8")

    def _check(self, manifest: dict[str, Any]) -> None:
        beside = self.path.with_name(self.path.name + ".job.json")
        manifest = json.loads(json.dumps(manifest))
        if beside.exists() and self.path.exists():
            before = json.loads(beside.read_text("utf-8"))
            names = sorted(before.keys() | manifest.keys())
            differ = [name for name in names if before.get(name) != manifest.get(name)]
            if differ:
                name = differ[0]
                raise InputError(
                    f"{self.path} holds samples of another run ({', '.join(differ)} differ: {name} "
                    f"was {before.get(name)}, is {manifest.get(name)}); turn output, or remove it"
                )
        partial = beside.with_name("partial-" + beside.name)
        partial.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")
        partial.replace(beside)

    def _repair(self) -> None:
        """Cuts a last line off that has no end."""
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            content = file.read()
            if not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)

    def append(self, completion: Completion) -> None:
        """Adds one line, unless it is there already; `flush` makes it last."""
        key = completion.task_id, completion.sample_index
        if key not in self.done:
            self.done.add(key)
            self._out.write(to_line(completion) + "\n")

    def flush(self) -> None:
        """Everything appended is on disk once this returns.

        Raises:
          InputError: the disk refused it.
        """
        try:
            self._out.flush()
            os.fsync(self._out.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path}: {error.strerror}; free space or turn output, and run again to resume"
            ) from None

    def __enter__(self) -> "CompletionsFile":
        return self

    def __exit__(self, *error) -> None:
        self.flush()
        self._out.close()
