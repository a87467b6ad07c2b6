"""Accelerators: peak FLOP/s, memory and bandwidths of one JAX device.

Peaks and bandwidths are the vendors' (cloud.google.com/tpu/docs; NVIDIA's data sheets, dense). The
HBM of a TPU is what its compiler may use. The clock converts the compiler's estimated cycles into
seconds: peak FLOP/s over the matrix units' FLOPs a cycle (2^18 for v4 and v5p, 2^17 for v5e,
2^19 for v6e and a v7x device). On these clocks a bf16 product of 8192³ is estimated at 93 (v4), 88
(v5e), 90 (v5p), 70 (v6e) and 81 % (v7x) of the peak.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A JAX device. A v4 or v5p device is a chip of two cores; a v7x chip is two devices.

    Attributes:
      name: with which a topology's name begins.
      device_kind: `jax.Device.device_kind`, or its beginning for GPUs.
      peak_flops: bf16 FLOP/s.
      hbm_gib: GiB of memory that a program may use.
      hbm_bandwidth: of that memory, bytes/s.
      link_bandwidth: of all links to neighbors together, bytes/s one way; 0 if there are none.
      clock_hz: of the compiler's cycle estimates; 0 if it makes none.
      devices_per_chip: JAX devices of a chip of the topology.
      options: arguments of `get_topology_desc` besides the name.
    """

    name: str
    device_kind: str
    peak_flops: float
    hbm_gib: float
    hbm_bandwidth: float
    link_bandwidth: float = 0
    clock_hz: float = 0
    devices_per_chip: int = 1
    options: tuple[tuple[str, str], ...] = ()

    @property
    def is_tpu(self) -> bool:
        """Whether the device is a TPU."""
        return self.clock_hz > 0


_MEGACORE = (("chip_config_name", "megacore"),)

CHIPS = (
    Chip(
        name="v4",
        device_kind="TPU v4",
        peak_flops=275e12,
        hbm_gib=30.75,
        hbm_bandwidth=1.2e12,
        link_bandwidth=270e9,
        clock_hz=1.05e9,
        options=_MEGACORE,
    ),
    Chip(
        name="v5e",
        device_kind="TPU v5 lite",
        peak_flops=197e12,
        hbm_gib=15.75,
        hbm_bandwidth=0.819e12,
        link_bandwidth=200e9,
        clock_hz=1.5e9,
    ),
    Chip(
        name="v5p",
        device_kind="TPU v5",
        peak_flops=459e12,
        hbm_gib=95.74,
        hbm_bandwidth=2.765e12,
        link_bandwidth=600e9,
        clock_hz=1.75e9,
    ),
    Chip(
        name="v6e",
        device_kind="TPU v6 lite",
        peak_flops=918e12,
        hbm_gib=31.25,
        hbm_bandwidth=1.6e12,
        link_bandwidth=400e9,
        clock_hz=1.75e9,
    ),
    Chip(
        name="v7x",
        device_kind="TPU7x",
        peak_flops=1153.5e12,
        hbm_gib=94.75,
        hbm_bandwidth=3.69e12,
        link_bandwidth=300e9,
        clock_hz=2.2e9,
        devices_per_chip=2,
    ),
    Chip(
        name="a100", device_kind="NVIDIA A100", peak_flops=312e12, hbm_gib=80, hbm_bandwidth=2.04e12
    ),
    Chip(
        name="h100", device_kind="NVIDIA H100", peak_flops=989e12, hbm_gib=80, hbm_bandwidth=3.35e12
    ),
    Chip(
        name="h200", device_kind="NVIDIA H200", peak_flops=989e12, hbm_gib=141, hbm_bandwidth=4.8e12
    ),
)


def chip_for(device_kind: str) -> Chip | None:
    """The row of a device kind ("NVIDIA H100 80GB HBM3" is an H100); None for CPUs and others."""
    for chip in CHIPS:
        is_variant = not chip.is_tpu and device_kind.startswith(chip.device_kind)
        if device_kind == chip.device_kind or is_variant:
            return chip
    return None
