"""The report of an estimate, as text."""

from typing import cast

from codex_jax.compile.estimate import Estimate
from codex_jax.compile.sampling_target import SampleTarget
from codex_jax.compile.targets import Pod, Target, TrainTarget
from codex_jax.sharding import AXES

_GIB = 2**30


def page(target: Target, estimate: Estimate) -> str:
    """Memory, time and its formula, collectives, the largest values."""
    lines = [title(target)]
    if estimate.failure:
        lines.append(row("does not fit", estimate.failure))
    else:
        lines += [
            row("HBM a device", _memory(estimate, target.chip.hbm_gib)),
            *_times(target, estimate),
        ]
        lines += [*_collectives(estimate, target.chip.link_bandwidth), *_values(estimate)]
        took = f"in {estimate.compile_seconds:.0f} s, with {estimate.compile_gib:.1f} GiB of memory"
        lines.append(row("compiled", took))
    if not estimate.fits:
        lines.append(row("does not fit", f"change {target.tunables} or the mesh"))
    return "\n".join(lines)


def title(target: Pod) -> str:
    """The first line of a report: the program, the pod and its mesh."""
    slices = f" × {target.slices} slices" if target.slices > 1 else ""
    sizes = zip(AXES, target.mesh.resolve(target.devices), strict=True)
    mesh = " × ".join(f"{axis} {size}" for axis, size in sizes if size > 1) or "1 device"
    return f"{target.title}, on {target.topology}{slices}, {mesh}"


def _times(target: Target, estimate: Estimate) -> list[str]:
    clock = target.chip.clock_hz
    cycles = f"{estimate.seconds * clock / 1e6:,.1f} M cycles at {clock / 1e9} GHz"
    lines = [row("XLA's estimate", f"{time(estimate.seconds)} a step: {cycles}")]
    if isinstance(target, TrainTarget):
        lines += _rate(target, estimate)
    elif target.is_loop:
        lines += _roofline(cast("SampleTarget", target), estimate)
    if estimate.host:
        lines.append(row("host memory", f"{estimate.host / _GIB:.1f} GiB a device"))
    return lines


def _rate(target: TrainTarget, estimate: Estimate) -> list[str]:
    """The share of the peak that a train step reaches."""
    kernels = target.kernel_seconds(estimate.kernels)
    seconds, lines = estimate.seconds + kernels, []
    if kernels:
        bound = f"at least {kernels:.3f} s more, at peak rate"
        lines.append(row("without", f"{estimate.kernels} calls of attention kernels: {bound}"))
    formula = "tokens × (6 × matrix weights + 6 × layers × heads × head size × length)"
    lines.append(row("MFU", f"{target.mfu(seconds):.3f} = {formula}"))
    lines.append(
        row("", f"      / (devices × {target.chip.peak_flops:.3g} FLOP/s × {seconds:.3f} s)")
    )
    return lines


def _roofline(target: SampleTarget, estimate: Estimate) -> list[str]:
    """The share of the memory's rate that a step of the sampling loop reaches."""
    weights, caches = target.bytes_read()
    read = f"weights {weights / _GIB:.2f} GiB + caches at their longest {caches / _GIB:.2f} GiB"
    bound = target.roofline()
    seconds = estimate.seconds + estimate.kernel_seconds
    rate = f"{target.sampling.batch_size / seconds:,.0f} tokens/s on all devices"
    return [
        *_kernels(estimate),
        row("roofline", f"{bound / seconds:.2f} = {time(bound)} / {time(seconds)}; {rate}"),
        row("", f"      ({read}) / {target.chip.hbm_bandwidth / 1e9:,.0f} GB/s"),
    ]


def _kernels(estimate: Estimate) -> list[str]:
    """The kernels, which the compiler's estimate leaves out and the roofline's time includes."""
    if not estimate.kernels:
        return []
    least = f"{time(estimate.kernel_seconds)} more: the larger of bytes and FLOPs at peak rates"
    lines = [row("kernels", f"{estimate.kernels} calls, at least {least}")]
    if estimate.uncounted_kernels:
        lines.append(
            row("", f"      {estimate.uncounted_kernels} of them state no cost: not counted")
        )
    return lines


def time(seconds: float) -> str:
    """Seconds, or milliseconds below a tenth of one."""
    return f"{seconds:.3f} s" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"


def row(name: str, value: str) -> str:
    """A line of the report."""
    return f"{name:17} {value}"


def _memory(estimate: Estimate, limit: float) -> str:
    return (
        f"{estimate.hbm / _GIB:.1f} of {limit} GiB: arguments {estimate.arguments / _GIB:.1f}, "
        f"temporaries {estimate.temporaries / _GIB:.1f}, output {estimate.outputs / _GIB:.1f} "
        f"({estimate.aliased / _GIB:.1f} of it in the arguments' memory)"
    )


def _collectives(estimate: Estimate, link: float) -> list[str]:
    """A line per type of collective, and the seconds on the wire."""
    lines = [
        row(collective, f"{moved / 1e9:8.2f} GB in {times:,} calls")
        for collective, (times, moved, _) in estimate.collectives.items()
    ]
    crossed, hidden = wire_seconds(estimate, link)
    if crossed:
        rate = f"{crossed:.3f} s at the links' {link / 1e9:.0f} GB/s"
        lines.append(row("on the wire", f"{rate}, {hidden:.3f} s of it beside computation"))
    return lines


def wire_seconds(estimate: Estimate, link: float) -> tuple[float, float]:
    """(seconds on links of this rate, those beside computation); an all-reduce crosses twice."""
    crossed = hidden = 0.0
    for collective, (_, moved, beside) in estimate.collectives.items():
        crossings = 2 if collective == "all-reduce" else 1
        crossed, hidden = crossed + crossings * moved / link, hidden + crossings * beside / link
    return crossed, hidden


def _values(estimate: Estimate) -> list[str]:
    head = [row("largest values", "(several may use the same memory in turn)")]
    return head + [
        f"  {size / 2**20:10,.1f} MiB  {shape:28} {source[-90:]}"
        for size, shape, source in estimate.values
    ]
