"""Import of seqio only where it is used: it takes ten seconds, and TensorFlow prints."""

import contextlib
import functools
import os
import sys
import types
from collections.abc import Iterator


@functools.cache
def load_seqio_tasks() -> types.ModuleType:
    """Imports `seqio_tasks.tasks` in silence, with TensorFlow off accelerators."""
    with _silence_stderr():
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow already runs
            tf.config.set_visible_devices([], "GPU")
            tf.config.set_visible_devices([], "TPU")
        from codex_jax.data.seqio_tasks import tasks
    return tasks


@contextlib.contextmanager
def _silence_stderr() -> Iterator[None]:
    """Redirects the descriptor, to which TensorFlow's C++ writes whatever its log level."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as devnull:  # noqa: PTH123
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
