"""TPU topologies without a TPU: devices to compile for, described by libtpu."""

import importlib.util
import os
import re
from typing import Any

from codex_jax import InputError
from codex_jax.sharding.chips import CHIPS, Chip

# libtpu's names where ours differ; variables that it otherwise queries from the cloud, with long
# timeouts; and permission to load it in several processes, since none of them uses a chip.
_LIBTPU_NAMES = {"v7x": "tpu7x"}
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def parse(topology: str) -> tuple[Chip, tuple[int, ...]]:
    """(chip, chips along each dimension) of a topology such as "v5p:4x4x8".

    Raises:
      InputError: another form, or a chip that isn't a TPU of the table.
    """
    tpus = {chip.name: chip for chip in CHIPS if chip.is_tpu}
    match = re.fullmatch(r"(\w+):(\d+(?:x\d+){1,2})", topology)
    if not match or match.group(1) not in tpus:
        raise InputError(
            f"topology {topology!r} is unknown; expected CHIP:AxB or CHIP:AxBxC with CHIP one of "
            f"{', '.join(tpus)}, such as v5p:4x4x8 or v5e:16x16"
        )
    return tpus[match.group(1)], tuple(map(int, match.group(2).split("x")))


def devices(topology: str, *, slices: int = 1) -> list[Any]:
    """The devices of `slices` such topologies, on which `jit(…).lower(…).compile()` works.

    Raises:
      InputError: a topology that libtpu refuses, or no libtpu.
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
    options["chips_per_host_bounds"] = _host_bounds(sizes)
    if slices > 1:
        options["num_slices"] = slices
    name = topology.replace(chip.name, _LIBTPU_NAMES.get(chip.name, chip.name), 1)
    try:
        return topologies.get_topology_desc(name, platform="tpu", **options).devices
    except Exception as error:  # noqa: BLE001  libtpu raises several types
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"topology {topology!r}: libtpu refuses it: {reason}") from None


def _host_bounds(sizes: tuple[int, ...]) -> tuple[int, int, int]:
    """Chips of a host: 2 × 2, or fewer if the slice is narrower."""
    first, second = (2 if size % 2 == 0 else 1 for size in sizes[:2])
    return first, second, 1
