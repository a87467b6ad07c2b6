"""TPU pods that aren't here: devices to compile for, by libtpu alone."""

import importlib.util
import os
import re
from typing import Any

from codex_jax import InputError
from codex_jax.sharding.chips import CHIPS, Chip

# libtpu's own words where ours differ; what it would else ask the cloud for, at length; and leave
# to load it beside another process that compiles, since nobody here drives a chip.
_EXTERNAL = {"v7x": "tpu7x"}
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def parse(topology: str) -> tuple[Chip, tuple[int, ...]]:
    """The chip and the chips along each dimension of "v5p:4x4x8".

    Raises:
      InputError: not of this form, or of a chip that isn't a TPU of the table.
    """
    tpus = {chip.name: chip for chip in CHIPS if chip.is_tpu}
    found = re.fullmatch(r"(\w+):(\d+(?:x\d+){1,2})", topology)
    if not found or found.group(1) not in tpus:
        raise InputError(
            f"topology {topology!r} is unknown; expected CHIP:AxB or CHIP:AxBxC with CHIP one of "
            f"{', '.join(tpus)}, such as v5p:4x4x8 or v5e:16x16"
        )
    return tpus[found.group(1)], tuple(map(int, found.group(2).split("x")))


def devices(topology: str, *, slices: int = 1) -> list[Any]:
    """The devices of `slices` such topologies, on which `jit(…).lower(…).compile()` works.

    Raises:
      InputError: a topology nobody has, or no libtpu.
    """
    chip, sizes = parse(topology)
    if slices < 1:
        raise InputError(f"slices is {slices}; expected 1 or more")
    if importlib.util.find_spec("libtpu") is None:
        raise InputError("libtpu is not installed; pip install 'codex-jax[tpu]'")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from jax.experimental import topologies

    options: dict[str, Any] = dict(chip.options)
    options["chips_per_host_bounds"] = _host(sizes)
    if slices > 1:
        options["num_slices"] = slices
    name = topology.replace(chip.name, _EXTERNAL.get(chip.name, chip.name), 1)
    try:
        return topologies.get_topology_desc(name, platform="tpu", **options).devices
    except Exception as error:  # libtpu's refusals come as several types
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"topology {topology!r}: libtpu refuses it: {reason}") from None


def _host(sizes: tuple[int, ...]) -> tuple[int, int, int]:
    """Chips of one host: 2 × 2, or fewer where the slice is narrower."""
    first, second = (2 if size % 2 == 0 else 1 for size in sizes[:2])
    return first, second, 1
