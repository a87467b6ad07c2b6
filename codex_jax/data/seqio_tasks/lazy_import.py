"""seqio only where rows are really built: it takes ten seconds to import, and TensorFlow talks."""

import contextlib
import functools
import os
import sys
import types
from collections.abc import Iterator


@functools.cache
def import_tasks() -> types.ModuleType:
    """Imports `seqio_tasks.tasks` in silence, with TensorFlow kept off accelerators."""
    with _silent_stderr():
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # somebody else already runs TensorFlow
            tf.config.set_visible_devices([], "GPU")
            tf.config.set_visible_devices([], "TPU")
        from codex_jax.data.seqio_tasks import tasks
    return tasks


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """TensorFlow's C++ writes to the descriptor whatever its log level is set to."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
