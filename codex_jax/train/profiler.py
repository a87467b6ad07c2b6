"""A profile on demand: `touch RUN/PROFILE`, and the next steps are traced for TensorBoard."""

import pathlib
import sys
import time
from typing import Any

import jax

REQUEST = "PROFILE"
_SECONDS_BETWEEN_LOOKS = 1.0  # a mounted bucket asks the cloud each time


class Profiler:
    """Traces some steps of process 0, each time that the file PROFILE comes to be."""

    def __init__(self, folder: pathlib.Path, steps: int):
        """Looks at nothing yet.

        Args:
          folder: Of the run; traces go to plugins/profile in it.
          steps: Number of steps of a trace.
        """
        self._folder = folder
        self._steps = steps
        self._end: int | None = None
        self._looked = float("-inf")
        self._is_on = jax.process_index() == 0

    def look(self, step: int, values: Any) -> None:
        """Begins or ends a trace before `step`; `values` are results of the step before it."""
        if self._end is not None:
            if step >= self._end:
                jax.block_until_ready(values)
                self.close()
            return
        now = time.monotonic()
        if not self._is_on or now - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        request = self._folder / REQUEST
        if request.is_file():
            request.unlink(missing_ok=True)
            jax.block_until_ready(values)
            jax.profiler.start_trace(self._folder)
            self._end = step + self._steps

    def close(self) -> None:
        """Writes the trace that is under way, if any."""
        if self._end is not None:
            self._end = None
            jax.profiler.stop_trace()
            folder = self._folder / "plugins" / "profile"
            print(f"a profile is in {folder}: tensorboard --logdir={self._folder}", file=sys.stderr)
