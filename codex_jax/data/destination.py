"""The folders of a build: the rows, and the partial ones beside them, each known by its mark.

Nothing without the mark is ever removed.
"""

import pathlib
import shutil

from codex_jax import InputError
from codex_jax.data.packing.row_store import ARRAYS, DROPPED, TOKEN_BYTES, is_info_file
from codex_jax.data.packing.validation import VALIDATION
from codex_jax.files import claim_folder, has_text, resolve_output

_MARK = "codex_jax build"
_STATE, _SHARDS, _ROWS, _REPLACED = "state", "shards", "rows", "replaced"


class BuildFolders:
    """The folder of finished rows, and partial-NAME beside it, where a build works."""

    def __init__(self, output: pathlib.Path | str):
        """Links are followed, so that a link to a folder of rows stays a link.

        Raises:
          InputError: either folder holds something that no build wrote, or can't be created.
        """
        self.output = resolve_output(output, "output")
        if not self.output.name:
            raise InputError(f"output is {output}; expected a folder; set output to a new one")
        self.partial = self.output.with_name(f"partial-{self.output.name}")
        self.shards, self.rows = self.partial / _SHARDS, self.partial / _ROWS
        names = ("meta.json", *ARRAYS, DROPPED, TOKEN_BYTES, VALIDATION)
        rows = dict.fromkeys(names, lambda path: is_info_file(path.parent))
        for folder in (self.output, self.output / VALIDATION):
            claim_folder(folder, rows, "output")
        own = dict.fromkeys((_SHARDS, _ROWS, _REPLACED), self._is_marked)
        claim_folder(self.partial, {_STATE: has_text(_MARK), **own}, "output")

    def _is_marked(self, _: pathlib.Path) -> bool:
        return has_text(_MARK)(self.partial / _STATE)

    def prepare(self, state: str) -> None:
        """Empties the partial folder, unless a killed build of the same state left it."""
        mark = self.partial / _STATE
        content = f"{_MARK} {state}\n"
        if not mark.is_file() or mark.read_text("utf-8") != content:
            self.remove_partial()
            self.partial.mkdir(parents=True)
            mark.write_text(content, "utf-8")
        self.shards.mkdir(exist_ok=True)

    def finish(self) -> None:
        """Puts the new rows into place, and removes what they replace and the partial folder."""
        if self.output.exists():
            replaced = self.partial / _REPLACED
            shutil.rmtree(replaced, ignore_errors=True)
            self.output.replace(replaced)
        self.rows.replace(self.output)
        self.remove_partial()

    def remove_partial(self) -> None:
        """Removes the partial folder, its mark last."""
        for name in (_SHARDS, _ROWS, _REPLACED):
            shutil.rmtree(self.partial / name, ignore_errors=True)
        (self.partial / _STATE).unlink(missing_ok=True)
        if self.partial.exists():
            self.partial.rmdir()
