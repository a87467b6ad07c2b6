"""Names of the entries of a checkpoint directory."""

import pathlib
from collections.abc import Callable

LOCK_FILE = "trainer.lock"
DAMAGED_FOLDER = "damaged"  # checkpoints that couldn't be read, set aside

_ITEMS = {"params", "rest", "card", "metrics", "_CHECKPOINT_METADATA", "commit_success.txt"}


def _is_step(path: pathlib.Path) -> bool:
    """Whether an entry has a step's name and, as a folder, only parts of a checkpoint."""
    is_number = path.name.isdecimal() and path.name == str(int(path.name))
    return is_number and (not path.is_dir() or {p.name for p in path.iterdir()} <= _ITEMS)


# Glob → whether an entry of a directory of checkpoints is ours or Orbax's.
OWN_FILES: dict[str, Callable[[pathlib.Path], bool]] = {
    "*.orbax-checkpoint-tmp*": lambda _: True,  # begun by a killed process
    "[0-9]*": _is_step,
    LOCK_FILE: lambda path: path.is_file(),
    DAMAGED_FOLDER: lambda path: path.is_dir(),
}
