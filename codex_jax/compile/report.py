"""What was measured, as a page of text."""

from codex_jax.compile.estimate import Measured
from codex_jax.compile.sampling_target import SampleJob
from codex_jax.compile.targets import Job, TrainJob
from codex_jax.sharding import AXES

_GIB = 2**30


def page(job: Job, found: Measured) -> str:
    """Memory, time and its formula, collectives, the largest values."""
    lines = [_title(job)]
    if found.trouble:
        lines.append(row("does not fit", found.trouble))
    else:
        lines += [row("HBM a device", _memory(found, job.chip.hbm_gib)), *_times(job, found)]
        lines += [*_collectives(found, job.chip.link_bandwidth), *_values(found)]
        took = f"in {found.compile_seconds:.0f} s, with {found.compile_gib:.1f} GiB of memory"
        lines.append(row("compiled", took))
    if not found.fits:
        lines.append(row("does not fit", f"turn {job.turns} or the mesh"))
    return "\n".join(lines)


def _title(job: Job) -> str:
    slices = f" × {job.slices} slices" if job.slices > 1 else ""
    sizes = zip(AXES, job.mesh.resolve(job.devices), strict=True)
    mesh = " × ".join(f"{axis} {size}" for axis, size in sizes if size > 1) or "1 device"
    return f"{job.title}, on {job.topology}{slices}, {mesh}"


def _times(job: Job, found: Measured) -> list[str]:
    cycles = (
        f"{found.seconds * job.chip.clock_hz / 1e6:,.1f} M cycles at {job.chip.clock_hz / 1e9} GHz"
    )
    lines = [row("XLA's estimate", f"{_time(found.seconds)} a step: {cycles}")]
    lines += _rate(job, found) if isinstance(job, TrainJob) else _roofline(job, found)
    if found.host:
        lines.append(row("host memory", f"{found.host / _GIB:.1f} GiB a device"))
    return lines


def _rate(job: TrainJob, found: Measured) -> list[str]:
    """The share of the peak that a train step reaches."""
    kernels = job.kernel_seconds(found.kernels)
    seconds, lines = found.seconds + kernels, []
    if kernels:
        bound = f"at least {kernels:.3f} s more, at peak rate"
        lines.append(row("without", f"{found.kernels} calls of attention kernels: {bound}"))
    formula = "tokens × (6 × matrix weights + 6 × layers × heads × head size × length)"
    lines.append(row("MFU", f"{job.mfu(seconds):.3f} = {formula}"))
    lines.append(row("", f"      / (devices × {job.chip.peak_flops:.3g} FLOP/s × {seconds:.3f} s)"))
    return lines


def _roofline(job: SampleJob, found: Measured) -> list[str]:
    """The share of the memory's rate that a step of the sampling loop reaches."""
    weights, caches = job.bytes_read()
    read = f"weights {weights / _GIB:.2f} GiB + caches at their longest {caches / _GIB:.2f} GiB"
    bound = job.roofline()
    share = bound / found.seconds
    rate = f"{job.sampling.rows / found.seconds:,.0f} tokens/s on all devices"
    return [
        row("roofline", f"{share:.2f} = {_time(bound)} / {_time(found.seconds)}; {rate}"),
        row("", f"      ({read}) / {job.chip.hbm_bandwidth / 1e9:,.0f} GB/s"),
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"


def row(name: str, value: str) -> str:
    """A line of the report."""
    return f"{name:17} {value}"


def _memory(found: Measured, limit: float) -> str:
    return (
        f"{found.hbm / _GIB:.1f} of {limit} GiB: arguments {found.arguments / _GIB:.1f}, "
        f"temporaries {found.temporaries / _GIB:.1f}, output {found.outputs / _GIB:.1f} "
        f"({found.aliased / _GIB:.1f} of it in the arguments' place)"
    )


def _collectives(found: Measured, link: float) -> list[str]:
    """A line a kind; an all-reduce crosses the links twice."""
    lines, crossed, hidden = [], 0.0, 0.0
    for kind, (times, moved, beside) in found.collectives.items():
        lines.append(row(kind, f"{moved / 1e9:8.2f} GB in {times:,} calls"))
        crossings = 2 if kind == "all-reduce" else 1
        crossed, hidden = crossed + crossings * moved, hidden + crossings * beside
    if crossed:
        time = f"{crossed / link:.3f} s at the links' {link / 1e9:.0f} GB/s"
        lines.append(row("on the wire", f"{time}, {hidden / link:.3f} s of it beside computation"))
    return lines


def _values(found: Measured) -> list[str]:
    head = [row("largest values", "(several may use the same memory in turn)")]
    return head + [
        f"  {size / 2**20:10,.1f} MiB  {shape:28} {source[-90:]}"
        for size, shape, source in found.values
    ]
