"""`codex-jax compile`: estimates of a program for a TPU topology that isn't attached."""

import dataclasses
import json
import pathlib
import sys
import types
from typing import Any

import jax

from codex_jax import InputError, files, ranges
from codex_jax.compile import joint, report
from codex_jax.compile import search as searches
from codex_jax.compile.estimate import estimate
from codex_jax.compile.joint_target import JointTarget, Policy
from codex_jax.compile.sampling_target import SampleTarget, Sampling
from codex_jax.compile.search import Search
from codex_jax.compile.targets import Target, TrainTarget
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer

_CACHE = pathlib.Path("~/.cache/codex_jax/compile")
_OWN_FILES = {
    "points.json": files.has_text('"target": {'),
    "front.png": files.has_text(searches.MARK),
}
_RANGES = {name: ranges.integer(1) for name in ("slices", "batch_size", "sequence_length")}


def compile_for(
    *,
    topology: str,
    model: DecoderConfig,
    slices: int = 1,
    batch_size: int = 256,
    sequence_length: int = 2048,
    mesh: MeshShape = MeshShape(),
    compute: Compute = Compute(),
    optimizer: Optimizer = Optimizer(),
    sampling: Sampling | None = None,
    policy: Policy | None = None,
    search: bool = False,
    space: Search = Search(),
    cache_dir: str = str(_CACHE),
    hlo_output: str = "",
    output: str = "",
) -> None:
    """Compiles a train step, the sampling loop or both for a TPU topology, without a TPU.

    Prints whether it fits, the compiler's estimate of its time, and the bytes sent between chips.
    The exit status is 1 if it doesn't fit. Results are cached by configuration and code.

    Args:
      topology: Chips of one slice, such as v5p:4x4x8, v4:4x4x8, v5e:16x16, v6e:16x16 or v7x:4x4x4.
      model: The decoder.
      slices: Slices of that topology, joined by the data centre's network; replicas span them.
      batch_size: Rows of a global batch.
      sequence_length: Tokens of a row.
      mesh: Devices along each mesh axis.
      compute: Precision, and what is traded for memory.
      optimizer: Its state takes memory too.
      sampling: The sampling loop's sizes: if set, it is compiled instead of a train step.
      policy: A batch of policy gradients: if set, its step and the sampling loop on one mesh.
      search: Whether to try every combination of space and show the best.
      space: What a search tries.
      cache_dir: Folder of cached results.
      hlo_output: File for the compiled program's text; empty writes none.
      output: Folder for a search's points.json and front.png; empty writes none.
    """
    settings = types.SimpleNamespace(**locals())
    ranges.check("compile", settings, _RANGES)
    target = _make_target(settings)
    _use_host()
    files.check_creatable(pathlib.Path(cache_dir).expanduser(), "cache_dir")
    if output:
        files.claim_folder(output, _OWN_FILES, "output")
    if hlo_output:
        files.claim_file(hlo_output, files.has_text("HloModule"), "hlo_output")
    if not _estimate(target, settings):
        sys.exit(1)


def _make_target(settings: Any) -> TrainTarget | SampleTarget | JointTarget:
    """Returns the program or programs that the settings name.

    Raises:
      InputError: settings that these programs don't have.
    """
    pod = {name: getattr(settings, name) for name in ("topology", "slices", "model", "mesh")}
    trainer = {name: getattr(settings, name) for name in ("compute", "optimizer")}
    sizes = {name: getattr(settings, name) for name in ("batch_size", "sequence_length")}
    if not settings.policy and not settings.sampling:
        return TrainTarget(**pod, **trainer, **sizes)
    if settings.search:
        raise InputError(
            "search tries train steps; remove Policy's and Sampling's settings, or --search"
        )
    sampling = settings.sampling or Sampling()
    if not settings.policy:
        return SampleTarget(**pod, sampling=sampling, dtype=settings.compute.dtype)
    if settings.hlo_output:
        raise InputError(
            "hlo_output writes the text of one program, and a batch of policy gradients has four; "
            "remove Policy's settings, or --hlo_output"
        )
    return JointTarget(**pod, **trainer, policy=settings.policy, sampling=sampling)


def _estimate(target: TrainTarget | SampleTarget | JointTarget, settings: Any) -> bool:
    """Prints the estimates; returns whether something fits."""
    cache = pathlib.Path(settings.cache_dir).expanduser()
    if isinstance(target, JointTarget):
        return _estimate_all(target, cache)
    if isinstance(target, TrainTarget) and settings.search:
        return _search(settings.space, target, cache, settings.output)
    return _estimate_one(target, cache, settings.hlo_output)


def _use_host() -> None:
    """Keeps JAX from using an attached accelerator: libtpu compiles without one."""
    jax.config.update("jax_platforms", "cpu")


def _estimate_one(target: Target, cache: pathlib.Path, hlo_output: str) -> bool:
    result = estimate(target, cache, hlo_output=pathlib.Path(hlo_output) if hlo_output else None)
    print(report.page(target, result))
    return result.fits


def _estimate_all(target: JointTarget, cache: pathlib.Path) -> bool:
    result = joint.estimate_joint(target, cache)
    print(joint.page(result))
    return result.fits


def _search(space: Search, target: TrainTarget, cache: pathlib.Path, output: str) -> bool:
    points, refused = searches.run_search(space, target, cache)
    print(searches.table(points), *refused, sep="\n")
    if output:
        folder = pathlib.Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [dataclasses.asdict(p) | {"tokens_per_second": p.rate} for p in points]
        (folder / "points.json").write_text(json.dumps(lines, indent=1), encoding="utf-8")
        searches.plot(points, folder / "front.png")
    return bool(searches.pareto_front(points))
