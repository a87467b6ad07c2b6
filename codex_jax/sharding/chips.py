"""Accelerators by what a step's time and fit are judged by: a row a kind, one JAX device each.

Peaks and bandwidths are the vendors' (cloud.google.com/tpu/docs; NVIDIA's data sheets, dense). The
HBM of a TPU is what its compiler says it may use. The clock turns the compiler's estimated cycles
into seconds: peak FLOP/s over the matrix units' FLOPs a cycle (2^18 for v4 and v5p, 2^17 for v5e,
2^19 for v6e and a v7x device). On these clocks a bf16 product of 8192³ is estimated at 93 (v4), 88
(v5e), 90 (v5p), 70 (v6e) and 81 % (v7x) of the peak.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One JAX device. A v4 or v5p device is a chip of two cores; a v7x chip is two devices.

    Attributes:
      name: as it begins a topology's name.
      kind: `jax.Device.device_kind`.
      peak: bf16 FLOP/s.
      hbm: GiB of memory a program may use.
      bandwidth: of that memory, bytes/s.
      link: of all links to neighbours together, bytes/s one way; 0 where there are none.
      clock: of the compiler's cycle estimates, Hz; 0 where it makes none.
      devices: JAX devices of one chip of the topology.
      options: that `get_topology_desc` wants besides the name.
    """

    name: str
    kind: str
    peak: float
    hbm: float
    bandwidth: float
    link: float = 0
    clock: float = 0
    devices: int = 1
    options: tuple[tuple[str, str], ...] = ()

    @property
    def is_tpu(self) -> bool:
        return self.clock > 0


_MEGACORE = (("chip_config_name", "megacore"),)

CHIPS = (
    Chip(
        name="v4",
        kind="TPU v4",
        peak=275e12,
        hbm=30.75,
        bandwidth=1.2e12,
        link=270e9,
        clock=1.05e9,
        options=_MEGACORE,
    ),
    Chip(
        name="v5e",
        kind="TPU v5 lite",
        peak=197e12,
        hbm=15.75,
        bandwidth=0.819e12,
        link=200e9,
        clock=1.5e9,
    ),
    Chip(
        name="v5p",
        kind="TPU v5",
        peak=459e12,
        hbm=95.74,
        bandwidth=2.765e12,
        link=600e9,
        clock=1.75e9,
    ),
    Chip(
        name="v6e",
        kind="TPU v6 lite",
        peak=918e12,
        hbm=31.25,
        bandwidth=1.6e12,
        link=400e9,
        clock=1.75e9,
    ),
    Chip(
        name="v7x",
        kind="TPU7x",
        peak=1153.5e12,
        hbm=94.75,
        bandwidth=3.69e12,
        link=300e9,
        clock=2.2e9,
        devices=2,
    ),
    Chip(name="a100", kind="NVIDIA A100", peak=312e12, hbm=80, bandwidth=2.04e12),
    Chip(name="h100", kind="NVIDIA H100", peak=989e12, hbm=80, bandwidth=3.35e12),
    Chip(name="h200", kind="NVIDIA H200", peak=989e12, hbm=141, bandwidth=4.8e12),
)


def of(kind: str) -> Chip | None:
    """The row of a device kind ("NVIDIA H100 80GB HBM3" is an H100), or None: of a CPU, say."""
    for chip in CHIPS:
        if kind == chip.kind or (not chip.is_tpu and kind.startswith(chip.kind)):
            return chip
    return None
