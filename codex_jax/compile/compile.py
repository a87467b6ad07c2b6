"""`codex-jax compile`: estimates of a program for a TPU topology that isn't attached."""

import dataclasses
import json
import pathlib
import sys
from typing import Any

import jax

from codex_jax import InputError, files
from codex_jax.compile import report
from codex_jax.compile import search as searches
from codex_jax.compile.estimate import estimate
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
    search: bool = False,
    space: Search = Search(),
    cache_dir: str = str(_CACHE),
    hlo_output: str = "",
    output: str = "",
) -> None:
    """Compiles a train step or the sampling loop for a TPU topology, without a TPU.

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
      search: Whether to try every combination of space and show the best.
      space: What a search tries.
      cache_dir: Folder of cached results.
      hlo_output: File for the compiled program's text; empty writes none.
      output: Folder for a search's points.json and front.png; empty writes none.
    """
    pod: dict[str, Any] = {"topology": topology, "slices": slices, "model": model, "mesh": mesh}
    target: Target
    if sampling:
        target = SampleTarget(**pod, sampling=sampling, dtype=compute.dtype)
    else:
        sizes: dict[str, Any] = {"batch_size": batch_size, "sequence_length": sequence_length}
        target = TrainTarget(**pod, **sizes, compute=compute, optimizer=optimizer)
    _use_host()
    cache = pathlib.Path(cache_dir).expanduser()
    files.check_creatable(cache, "cache_dir")
    if output:
        files.claim_folder(output, _OWN_FILES, "output")
    if hlo_output:
        files.claim_file(hlo_output, files.has_text("HloModule"), "hlo_output")
    if not search:
        fits = _estimate_one(target, cache, hlo_output)
    elif isinstance(target, TrainTarget):
        fits = _search(space, target, cache, output)
    else:
        raise InputError("search tries train steps; remove Sampling's settings, or --search")
    if not fits:
        sys.exit(1)


def _use_host() -> None:
    """Keeps JAX from using an attached accelerator: libtpu compiles without one."""
    jax.config.update("jax_platforms", "cpu")


def _estimate_one(target: Target, cache: pathlib.Path, hlo_output: str) -> bool:
    result = estimate(target, cache, hlo_output=pathlib.Path(hlo_output) if hlo_output else None)
    print(report.page(target, result))
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
