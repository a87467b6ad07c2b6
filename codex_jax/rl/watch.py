"""Rules by which a run stops itself: nothing to learn, a hack, a collapse, or a faulty sampler."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from codex_jax import ranges
from codex_jax.train.metrics import read_before

_WINDOW = 5  # batches over which the shadow gap is averaged


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopRules:
    """Limits at which a run stops with a sentence; 0 disables a rule.

    Args:
      equal_batches: Batches in a row in which all samples of each prompt have one reward, or all
        samples are cut.
      shadow_gap: Share of samples that pass the rewarded cases and not the shadow cases, averaged
        over 5 batches.
      entropy_share: Least entropy, as a share of the first batch's.
      ratio: Most that probabilities of trainer and sampler differ by, as a mean factor; in float32
        alone.
    """

    equal_batches: int = 10
    shadow_gap: float = 0.05
    entropy_share: float = 0.1
    ratio: float = 1.05


RANGES = {
    "equal_batches": ranges.integer(0),
    "shadow_gap": ranges.real(0, 1),
    "entropy_share": ranges.real(0, 1),
    "ratio": ranges.real(0),
}


class Watch:
    """Judges a run by its batches' metrics."""

    def __init__(
        self, rules: StopRules, *, is_exact: bool, history: Iterable[Mapping[str, Any]] = ()
    ):
        """Begins with the metrics of the batches before.

        Args:
          rules: The limits.
          is_exact: Whether trainer and sampler both compute in float32.
          history: Metrics of the batches that the run continues.
        """
        self._rules, self._is_exact = rules, is_exact
        self._lines: list[Mapping[str, Any]] = list(history)

    def check(self, line: Mapping[str, Any]) -> str:
        """Adds a batch's metrics; returns a sentence that says why the run stops, or ""."""
        self._lines.append(line)
        return self.reason()

    def reason(self) -> str:
        """Returns why the run stops after its last batch, or ""."""
        if not self._lines:
            return ""
        reasons = (self._masked(), self._equal(), self._gap(), self._collapse(), self._mismatch())
        return next(filter(None, reasons), "")

    def _is_always(self, name: str) -> bool:
        """Whether a share was 1 in as many of the last batches as the rule names."""
        count = self._rules.equal_batches
        last = self._lines[-count:]
        return 0 < count <= len(last) and all(line[name] >= 1 for line in last)

    def _masked(self) -> str:
        if not self._is_always("masked"):
            return ""
        return (
            f"all samples were cut at max_new_tokens in {self._rules.equal_batches} batches in a "
            "row, from which nothing is learned; set max_new_tokens higher, or init_from to a "
            "model that ends its programs"
        )

    def _equal(self) -> str:
        count = self._rules.equal_batches
        if not self._is_always("equal_groups"):
            return ""
        return (
            f"all samples of each prompt had the same reward in {count} batches in a row, from "
            "which nothing is learned; set problems to some that are sometimes solved"
        )

    def _gap(self) -> str:
        lines = self._lines[-_WINDOW:]
        gap = sum(line["shadow_gap"] for line in lines) / len(lines)
        if not self._rules.shadow_gap or gap <= self._rules.shadow_gap:
            return ""
        return (
            f"{gap:.1%} of the samples pass the rewarded cases and fail the shadow cases: the "
            "tests are satisfied, not the task; set problems to some whose tests say more, or "
            "StopRules.shadow_gap higher"
        )

    def _collapse(self) -> str:
        first, entropy = self._lines[0]["entropy"], self._lines[-1]["entropy"]
        if entropy >= first * self._rules.entropy_share:
            return ""
        return (
            f"the entropy of a token fell from {first:.4f} to {entropy:.4f} nats: samples hardly "
            "differ any more; use an earlier checkpoint, or set learning_rate lower"
        )

    def _mismatch(self) -> str:
        ratio, limit = self._lines[-1]["ratio"], self._rules.ratio
        if not (self._is_exact and limit) or ratio <= limit:
            return ""
        return (
            f"probabilities of trainer and sampler differ by a factor of {ratio:.3f} on average, "
            f"in float32, where 1 is expected; this is a fault: report it with your settings"
        )


def share_reason(reason: str) -> str:
    """Returns process 0's reason to stop on every process; only it has a run's metrics file."""
    if jax.process_count() == 1:
        return reason
    if not bool(multihost_utils.broadcast_one_to_all(np.int32(reason != ""))):
        return ""
    return reason or "process 0 says why"


def read_history(path: pathlib.Path, start: int) -> list[dict[str, Any]]:
    """Reads the batches' metrics of the steps before `start`; a torn last line is left out."""
    return [line for _, line in read_before(path, start) if "equal_groups" in line]
