"""Import of seqio only where it is used: it takes ten seconds, and TensorFlow prints."""

import contextlib
import functools
import os
import sys
import types
from collections.abc import Iterator


def load_registry() -> types.ModuleType:
    """Imports `seqio_tasks.registry`, with TensorFlow off accelerators."""
    _load_tensorflow()
    from codex_jax.data.seqio_tasks import registry

    return registry


def load_task_examples() -> types.ModuleType:
    """Imports `seqio_tasks.task_examples`, with TensorFlow off accelerators."""
    _load_tensorflow()
    from codex_jax.data.seqio_tasks import task_examples

    return task_examples


def load_task_evaluators() -> types.ModuleType:
    """Imports `seqio_tasks.task_evaluators`, with TensorFlow off accelerators."""
    _load_tensorflow()
    from codex_jax.data.seqio_tasks import task_evaluators

    return task_evaluators


def load_cached_task() -> types.ModuleType:
    """Imports `seqio_tasks.cached_task`, with TensorFlow off accelerators."""
    _load_tensorflow()
    from codex_jax.data.seqio_tasks import cached_task

    return cached_task


def load_task_shards() -> types.ModuleType:
    """Imports `seqio_tasks.task_shards`, with TensorFlow off accelerators."""
    _load_tensorflow()
    from codex_jax.data.seqio_tasks import task_shards

    return task_shards


def load_beam_cache() -> types.ModuleType:
    """Imports `seqio_tasks.beam_cache` and Beam, with TensorFlow off accelerators."""
    _load_tensorflow()
    with _silence_stderr():
        from codex_jax.data.seqio_tasks import beam_cache

    return beam_cache


@functools.cache
def _load_tensorflow() -> None:
    """Imports TensorFlow and seqio in silence."""
    with _silence_stderr():
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow already runs
            tf.config.set_visible_devices([], "GPU")
            tf.config.set_visible_devices([], "TPU")
        import seqio  # noqa: F401


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
