"""compile_for(): the verb."""

import dataclasses
import json
import pathlib
import sys

import jax

from codex_jax import InputError, files
from codex_jax.compile import report
from codex_jax.compile import search as searches
from codex_jax.compile.estimate import measured
from codex_jax.compile.sampling_target import SampleJob, Sampling
from codex_jax.compile.search import Search
from codex_jax.compile.targets import Job, TrainJob
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer

_CACHE = pathlib.Path("~/.cache/codex_jax/compile")
_OWN_FILES = {
    "points.json": files.has_text('[\n {\n  "job": {'),
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
    text: str = "",
    output: str = "",
) -> None:
    """Compiles a train step, or the sampling loop, for a TPU pod that isn't here, by the TPU's own
    compiler, and says whether it fits, how fast the compiler thinks it is, and what it sends
    between chips. The exit status is 1 where it doesn't fit. Results are remembered by
    configuration and code.

    Args:
      topology: Chips of one slice, such as v5p:4x4x8, v4:4x4x8, v5e:16x16, v6e:16x16 or v7x:4x4x4.
      model: The decoder.
      slices: Slices of that topology, joined by the data centre's network; replicas span them.
      batch_size: Rows of a global batch.
      sequence_length: Tokens of a row.
      mesh: Devices along each mesh axis.
      compute: Precision, and what is traded for memory.
      optimizer: Its state takes memory too.
      sampling: The sampling loop's sizes: given any, it is compiled instead of a train step.
      search: Whether to try every combination of space and show the best.
      space: What a search tries.
      cache_dir: Where results are remembered.
      text: A file for the compiled program's text; empty writes none.
      output: Folder for a search's points.json and front.png; empty writes none.
    """
    pod = {"topology": topology, "slices": slices, "model": model, "mesh": mesh}
    job: Job
    if sampling:
        job = SampleJob(**pod, sampling=sampling, dtype=compute.dtype)
    else:
        sizes = {"batch_size": batch_size, "sequence_length": sequence_length}
        job = TrainJob(**pod, **sizes, compute=compute, optimizer=optimizer)
    _on_the_host()
    cache = pathlib.Path(cache_dir).expanduser()
    if output:
        files.claim_folder(output, _OWN_FILES, "output")
    if text:
        files.claim_file(text, files.has_text("HloModule"), "text")
    if search and not isinstance(job, TrainJob):
        raise InputError("search tries train steps; leave Sampling out, or --search")
    fits = _search(space, job, cache, output) if search else _one(job, cache, text)
    if not fits:
        sys.exit(1)


def _on_the_host() -> None:
    """Keeps jax from taking an accelerator that may be here: libtpu compiles without."""
    jax.config.update("jax_platforms", "cpu")


def _one(job: Job, cache: pathlib.Path, text: str) -> bool:
    found = measured(job, cache, text=pathlib.Path(text) if text else None)
    print(report.page(job, found))
    return found.fits


def _search(space: Search, job: TrainJob, cache: pathlib.Path, output: str) -> bool:
    points, refused = searches.tried(space, job, cache)
    print(searches.table(points), *refused, sep="\n")
    if output:
        folder = pathlib.Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [dataclasses.asdict(p) | {"tokens_per_second": p.rate} for p in points]
        (folder / "points.json").write_text(json.dumps(lines, indent=1), encoding="utf-8")
        searches.plot(points, folder / "front.png")
    return bool(searches.front(points))
