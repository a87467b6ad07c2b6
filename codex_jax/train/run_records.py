"""Files that a run appends to, beside its checkpoints or, for a bucket, in a mirror of it."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

from codex_jax import files
from codex_jax.remote.mirror import Mirror
from codex_jax.remote.paths import is_remote
from codex_jax.train.profiler import REQUEST
from codex_jax.train.run_events import EVENTS_FILE

# Glob → whether an entry of a run's directory, besides checkpoints, is ours.
RECORDS: dict[str, Callable[[Any], bool]] = {
    "metrics.jsonl": files.has_json_keys("step", lines=True),
    EVENTS_FILE: files.has_json_keys("time", lines=True),
    "events.out.tfevents.*": files.has_text("brain.Event"),
    REQUEST: lambda path: path.is_file(),
    "plugins": lambda path: {each.name for each in path.iterdir()} <= {"profile"},
}

_MIRRORED = r"[^/]*\.jsonl|events\.out\.tfevents\.[^/]*"


@contextlib.contextmanager
def open_records(directory: Any) -> Iterator[tuple[pathlib.Path, Callable[[], None]]]:
    """Yields the local folder of what a run appends to, and a function that uploads it.

    The folder is that of the checkpoints or, where they are in a bucket, its mirror.
    """
    if not is_remote(directory):
        yield pathlib.Path(directory), lambda: None
    elif jax.process_index() > 0:
        yield pathlib.Path(), lambda: None  # process 0 alone writes
    else:
        is_read = lambda name: name.endswith(".jsonl")  # noqa: E731
        with Mirror(str(directory), _MIRRORED, fetches=is_read) as mirror:
            yield mirror.root, mirror.push
