"""Rates of a step: tokens a second, the part of the chips' peak, and the memory in use."""

import jax
from jax.sharding import Mesh

from codex_jax.model import DecoderConfig
from codex_jax.sharding import chip_for
from codex_jax.train.batches import BatchShape


class Throughput:
    """Converts the seconds of a step to rates."""

    def __init__(self, model: DecoderConfig, batches: BatchShape, mesh: Mesh):
        """Reads the chips' peaks.

        Args:
          model: The decoder.
          batches: Sizes of a global batch.
          mesh: The devices of all hosts.
        """
        tokens = batches.batch_size * batches.sequence_length
        self._flops = model.flops_per_token(batches.sequence_length) * tokens
        self._device = jax.local_devices()[0]
        chip = chip_for(self._device.device_kind)
        self._peak = chip.peak_flops * mesh.size if chip else None
        self._chips = mesh.size / (chip.devices_per_chip if chip else 1)

    def rates(self, seconds: float, tokens: float) -> dict[str, float]:
        """Returns the rates of a step by name.

        Padded positions are computed, and count in the use of the peak (mfu) alone. On a CPU there
        is neither a peak nor a memory of its own.

        Args:
          seconds: Of the step.
          tokens: That it learned from.
        """
        rate = tokens / seconds
        rates = {"tokens_per_second": rate, "tokens_per_second_per_chip": rate / self._chips}
        if self._peak:
            rates["mfu"] = self._flops / seconds / self._peak
        if (memory := self._device.memory_stats()) and "peak_bytes_in_use" in memory:
            rates["hbm_gib"] = memory["peak_bytes_in_use"] / 2**30
        return rates
