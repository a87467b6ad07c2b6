"""Many jobs, and the front of those that none beats in both time and memory."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence

from codex_jax import InputError, progress
from codex_jax.compile.estimate import Measured, measured
from codex_jax.compile.targets import TrainJob
from codex_jax.sharding import MeshShape
from codex_jax.train.remat import PRESETS

MARK = "codex-jax compile"  # of the figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """What --search tries, each with each; replicas take the devices that are left.

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


@dataclasses.dataclass(frozen=True)
class Point:
    """One job that was tried."""

    job: TrainJob
    found: Measured

    @property
    def seconds(self) -> float:
        """Of a step, the kernels at their least."""
        return self.found.seconds + self.job.kernel_seconds(self.found.kernels)

    @property
    def rate(self) -> float:
        """Tokens a second on all devices; 0 where the compiler found no room."""
        return self.job.tokens / self.seconds if self.seconds else 0.0

    @property
    def name(self) -> str:
        mesh = self.job.mesh
        split = f"fsdp {mesh.fsdp}" + (f" × tensor {mesh.tensor}" if mesh.tensor > 1 else "")
        return f"{self.job.batch_size} rows, {self.job.compute.remat}, {split}"


def jobs(space: Search, base: TrainJob) -> Iterator[TrainJob]:
    """Every combination."""
    combined = itertools.product(
        space.batch_sizes, space.remats, space.fsdp_sizes, space.tensor_sizes
    )
    for batch_size, remat, fsdp, tensor in combined:
        yield dataclasses.replace(
            base,
            batch_size=batch_size,
            compute=dataclasses.replace(base.compute, remat=remat),
            mesh=MeshShape(replica=-1, fsdp=fsdp, tensor=tensor, context=base.mesh.context),
        )


def tried(space: Search, base: TrainJob, cache: pathlib.Path) -> tuple[list[Point], list[str]]:
    """(the points that compiled, a line for each combination that can't be).

    Raises:
      InputError: nothing could be.
    """
    wanted = list(jobs(space, base))
    points, refused = [], []
    with progress.bar(desc="compile", total=len(wanted), unit="job") as bar:
        for job in wanted:
            try:
                points.append(Point(job, measured(job, cache)))
            except InputError as error:
                refused.append(f"{job.batch_size} rows, {job.mesh}: {error}")
            bar.update()
    if not points:
        raise InputError(f"no combination can be compiled: {refused[0]}")
    return points, refused


def front(points: Sequence[Point]) -> list[Point]:
    """Of those that fit, fastest first, each that needs less memory than all faster ones."""
    fitting = sorted((p for p in points if p.found.fits), key=lambda p: (-p.rate, p.found.hbm))
    best: list[Point] = []
    for point in fitting:
        if not best or point.found.hbm < best[-1].found.hbm:
            best.append(point)
    return best


def table(points: Sequence[Point]) -> str:
    """All points, fastest first, those on the front starred."""
    best = front(points)
    lines = [f"  {'':44} {'tokens/s':>12} {'s a step':>9} {'MFU':>6} {'HBM, GiB':>9}"]
    for point in sorted(points, key=lambda p: (not p.found.fits, -p.rate)):
        star = "*" if point in best else " "
        lines.append(f"{star} {point.name:44} {_figures(point)}")
    return "\n".join([*lines, "* nothing faster needs less memory"])


def _figures(point: Point) -> str:
    if point.found.trouble:
        return "does not fit"
    figures = f"{point.rate:12,.0f} {point.seconds:9.3f} {point.job.mfu(point.seconds):6.3f}"
    return f"{figures} {point.found.hbm / 2**30:9.1f}" + ("" if point.found.fits else " too much")


def plot(points: Sequence[Point], path: pathlib.Path) -> None:
    """Memory against rate, the front joined."""
    from matplotlib.figure import Figure  # where it draws: compiling needs none of it

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    fitting = [point for point in points if point.found.fits]
    axes.plot(*_coordinates(fitting), "o", color="0.7")
    axes.plot(*_coordinates(front(points)), "o-", color="C0")
    for point in front(points):
        where = [values[0] for values in _coordinates([point])]
        axes.annotate(point.name, where, textcoords="offset points", xytext=(4, 4), fontsize=7)
    axes.set_xlabel("HBM a device, GiB")
    axes.set_ylabel("million tokens/s, by XLA's estimate")
    axes.set_title(f"{points[0].job.topology} × {points[0].job.slices}")
    figure.savefig(path, metadata={"Software": MARK})


def _coordinates(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [p.found.hbm / 2**30 for p in points], [p.rate / 1e6 for p in points]
