"""The cache that Beam writes: its folder, and its options."""

import contextlib
import io
import json
import types
from collections.abc import Mapping, Sequence
from typing import Any, Self

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from codex_jax import InputError
from codex_jax.data.cache_folder import COUNTS, FORMAT, INDEX, is_run, is_run_name, new_run
from codex_jax.data.seqio_tasks.beam_pipeline import CacheSpec, run

__all__ = ["CacheSpec", "CacheWriter", "parse_options", "run"]

# Their job server knows options that Python doesn't.
_PORTABLE = ("PortableRunner", "FlinkRunner", "SparkRunner")


def parse_options(options: Sequence[str] | str) -> PipelineOptions:
    """Parses Beam's options.

    Raises:
      InputError: Beam would ignore one, or can't read one.
    """
    words = [options] if isinstance(options, str) else list(options)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            values = PipelineOptions(words).get_all_options(retain_unknown_options=True)
            known = PipelineOptions([]).get_all_options()
            beam.Pipeline(options=PipelineOptions(words))  # which looks for the runner
    except (SystemExit, ValueError, ImportError) as error:
        reason = (errors.getvalue().strip().splitlines() or [str(error)])[-1]
        raise InputError(f"options: {' '.join(reason.split())[:200]}") from None
    unknown = [] if values["runner"] in _PORTABLE else [f"--{x}" for x in values if x not in known]
    if ignored := [*unknown, *_stray_words(words)]:
        raise InputError(
            f"options: Beam ignores {ignored[0]!r}; set options to names that it knows, "
            "each as --NAME=VALUE"
        )
    return PipelineOptions(words)


def _stray_words(words: Sequence[str]) -> list[str]:
    """Returns the words that are neither an option nor its value."""
    return [
        word
        for previous, word in zip(["", *words], words, strict=False)
        if not word.startswith("--") and ("=" in previous or not previous.startswith("--"))
    ]


class CacheWriter:
    """Writes a run beside the former one, which it replaces at the end."""

    def __init__(self, output: str):
        """Prepares to write; nothing is there yet."""
        self._output = output
        self._run = new_run()
        self.folder = f"{output}/{self._run}"

    def __enter__(self) -> Self:
        """Makes the run's folder."""
        tf.io.gfile.makedirs(self.folder)
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Removes what a failed run wrote."""
        if error:
            tf.io.gfile.rmtree(self.folder)

    def read_counts(self) -> list[list[Any]]:
        """Returns source, counter, key, reason and number of everything that was counted."""
        with tf.io.gfile.GFile(f"{self.folder}/{COUNTS}") as file:
            return json.loads(file.read())

    def finish(self, fields: Mapping[str, Any]) -> None:
        """Names this run in the index, and removes former ones; what isn't a cache's run stays.

        Args:
          fields: Of the index: `sources`, and the settings of the cache.
        """
        for file in tf.io.gfile.listdir(self.folder):
            if ".partial-" in file:  # of a worker that was killed or came too late
                tf.io.gfile.remove(f"{self.folder}/{file}")
        index = {"format": FORMAT, "run": self._run, **fields}
        partial = f"{self._output}/partial-{self._run[4:]}-{INDEX}"
        with tf.io.gfile.GFile(partial, "w") as out:
            out.write(json.dumps(index, ensure_ascii=False, indent=1) + "\n")
        tf.io.gfile.rename(partial, f"{self._output}/{INDEX}", overwrite=True)
        for name in (entry.rstrip("/") for entry in tf.io.gfile.listdir(self._output)):
            path = f"{self._output}/{name}"
            if name != self._run and is_run_name(name) and is_run(tf.io.gfile.listdir(path)):
                tf.io.gfile.rmtree(path)
