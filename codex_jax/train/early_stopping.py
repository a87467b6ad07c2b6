"""The validation losses of a run, and its end where they no longer fall."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_LOSS = "validation/loss"


class LossHistory:
    """Validation losses by step, of which a checkpoint's card holds those up to its step."""

    def __init__(self, losses: Sequence[Sequence[Any]] = (), patience: int = 0):
        """Begins with the losses of a card.

        Args:
          losses: Pairs of step and loss.
          patience: Evaluations in a row without a lowest loss that end the run; 0 never does.
        """
        self._losses = [(int(step), float(loss)) for step, loss in losses]
        self._patience = patience

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds the loss of a step, if its metrics have one."""
        if _LOSS in metrics:
            self._losses.append((step, float(metrics[_LOSS])))

    def to_json(self) -> list[list[Any]]:
        """Returns the losses as a card holds them."""
        return [[step, loss] for step, loss in self._losses]

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the first lowest one; None without a finite one."""
        finite = [pair for pair in self._losses if math.isfinite(pair[1])]
        return min(finite, key=lambda pair: pair[1], default=None)

    @property
    def is_over(self) -> bool:
        """Whether the run ends here."""
        best_step = self.best[0] if self.best else -1
        worse = sum(step > best_step for step, _ in self._losses)
        return 0 < self._patience <= worse

    def describe_best(self) -> str:
        """Returns a line about the lowest loss; "" without one."""
        if self.best is None:
            return ""
        step, loss = self.best
        return f"the lowest validation loss is {loss:.4f}, of step {step}"
