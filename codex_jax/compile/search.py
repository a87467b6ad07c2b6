"""A search over settings, and its Pareto front in time and memory."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

from codex_jax import InputError, progress, ranges
from codex_jax.compile.estimate import Estimate, estimate
from codex_jax.compile.targets import TrainTarget
from codex_jax.list_settings import check_distinct
from codex_jax.sharding import MeshShape
from codex_jax.train.remat import PRESETS

MARK = "codex-jax compile"  # of the figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Settings that --search combines; replicas take the remaining devices.

    Args:
      batch_sizes: Rows of a batch.
      remats: Presets of Compute.remat.
      fsdp_sizes: Devices that split batch and parameters.
      tensor_sizes: Devices that split heads, MLP and vocabulary.
    """

    batch_sizes: Sequence[int] = (128, 256, 512)
    remats: Sequence[str] = PRESETS
    fsdp_sizes: Sequence[int] = (32, 64)
    tensor_sizes: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        """Refuses sizes of nothing, which no point can have, and an entry twice."""
        check_distinct(**vars(self))
        for name in ("batch_sizes", "fsdp_sizes", "tensor_sizes"):
            for size in getattr(self, name):
                ranges.check("Search", {name: size}, {name: ranges.integer(1)})


@dataclasses.dataclass(frozen=True)
class Point:
    """A program of the search and its estimate."""

    target: TrainTarget
    estimate: Estimate

    @property
    def seconds(self) -> float:
        """Seconds of a step, with the least time of its kernels."""
        return self.estimate.seconds + self.target.kernel_seconds(self.estimate.kernels)

    @property
    def rate(self) -> float:
        """Tokens a second on all devices; 0 if it doesn't fit."""
        return self.target.tokens / self.seconds if self.seconds else 0.0

    @property
    def name(self) -> str:
        """The settings of the point."""
        mesh = self.target.mesh
        split = f"fsdp {mesh.fsdp}" + (f" × tensor {mesh.tensor}" if mesh.tensor > 1 else "")
        return f"{self.target.batch_size} rows, {self.target.compute.remat}, {split}"


def targets(space: Search, base: TrainTarget) -> Iterator[TrainTarget]:
    """Targets of every combination of the space."""
    combined = itertools.product(
        space.batch_sizes, space.remats, space.fsdp_sizes, space.tensor_sizes
    )
    for batch_size, remat, fsdp, tensor in combined:
        yield dataclasses.replace(
            base,
            batch_size=batch_size,
            compute=dataclasses.replace(base.compute, remat=cast("Any", remat)),
            mesh=MeshShape(replica=-1, fsdp=fsdp, tensor=tensor, context=base.mesh.context),
        )


def run_search(
    space: Search, base: TrainTarget, cache: pathlib.Path
) -> tuple[list[Point], list[str]]:
    """(points that compiled, a line for each combination that is refused).

    Raises:
      InputError: every combination is refused.
    """
    combinations = list(targets(space, base))
    points, refused = [], []
    with progress.bar(desc="compile", total=len(combinations), unit="target") as bar:
        for target in combinations:
            try:
                points.append(Point(target, estimate(target, cache)))
            except InputError as error:
                refused.append(f"{target.batch_size} rows, {target.mesh}: {error}")
            bar.update()
    if not points:
        raise InputError(f"no combination can be compiled: {refused[0]}")
    return points, refused


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Points that fit and need less memory than all faster ones, fastest first."""
    fitting = sorted(
        (p for p in points if p.estimate.fits), key=lambda p: (-p.rate, p.estimate.hbm)
    )
    best: list[Point] = []
    for point in fitting:
        if not best or point.estimate.hbm < best[-1].estimate.hbm:
            best.append(point)
    return best


def table(points: Sequence[Point]) -> str:
    """All points, fastest first, those on the front starred."""
    best = pareto_front(points)
    lines = [f"  {'':44} {'tokens/s':>12} {'s a step':>9} {'MFU':>6} {'HBM, GiB':>9}"]
    for point in sorted(points, key=lambda p: (not p.estimate.fits, -p.rate)):
        star = "*" if point in best else " "
        lines.append(f"{star} {point.name:44} {_figures(point)}")
    return "\n".join([*lines, "* nothing faster needs less memory"])


def _figures(point: Point) -> str:
    if point.estimate.failure:
        return "does not fit"
    figures = f"{point.rate:12,.0f} {point.seconds:9.3f} {point.target.mfu(point.seconds):6.3f}"
    return f"{figures} {point.estimate.hbm / 2**30:9.1f}" + (
        "" if point.estimate.fits else " too much"
    )


def plot(points: Sequence[Point], path: pathlib.Path) -> None:
    """Memory against rate, the front connected."""
    from matplotlib.figure import Figure  # where it draws: compiling needs none of it

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    fitting = [point for point in points if point.estimate.fits]
    axes.plot(*_coordinates(fitting), "o", color="0.7")
    axes.plot(*_coordinates(pareto_front(points)), "o-", color="C0")
    for point in pareto_front(points):
        position = tuple(values[0] for values in _coordinates([point]))
        axes.annotate(
            point.name, cast("Any", position), textcoords="offset points", xytext=(4, 4), fontsize=7
        )
    axes.set_xlabel("HBM a device, GiB")
    axes.set_ylabel("million tokens/s, by XLA's estimate")
    axes.set_title(f"{points[0].target.topology} × {points[0].target.slices}")
    figure.savefig(path, metadata={"Software": MARK})


def _coordinates(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [p.estimate.hbm / 2**30 for p in points], [p.rate / 1e6 for p in points]
