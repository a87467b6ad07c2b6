"""The memory and the time of a batch of policy gradients, from estimates of its programs."""

import dataclasses
import pathlib

from codex_jax.compile import report
from codex_jax.compile.estimate import Estimate, estimate
from codex_jax.compile.joint_target import JointTarget
from codex_jax.compile.targets import Target, TrainTarget

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class JointEstimate:
    """Estimates of the programs by name, and what a device needs for all; bytes are of a device."""

    target: JointTarget
    programs: dict[str, Target]
    parts: dict[str, Estimate]

    @property
    def trainer(self) -> int:
        """Bytes of the trainer's state and rows."""
        return self.parts["gradient step"].arguments

    @property
    def sampler(self) -> int:
        """Bytes of the sampler's weights and caches."""
        return self.parts["sampling"].arguments

    @property
    def temporaries(self) -> dict[str, int]:
        """Program → bytes that it needs besides; new weights take the old ones' memory."""
        needed = {name: part.hbm - part.arguments for name, part in self.parts.items()}
        return needed | {"handing over": self.parts["handing over"].temporaries}

    @property
    def hbm(self) -> int:
        """Bytes that must be free on a device."""
        return self.trainer + self.sampler + max(self.temporaries.values())

    @property
    def failures(self) -> dict[str, str]:
        """Program → the compiler's sentence, of those that don't fit alone."""
        return {name: part.failure for name, part in self.parts.items() if part.failure}

    @property
    def fits(self) -> bool:
        """Whether all fit the memory together."""
        return not self.failures and self.hbm <= self.target.chip.hbm_gib * _GIB

    @property
    def seconds(self) -> dict[str, float]:
        """Program → seconds in a batch: XLA's estimate, kernels at peak rates, and the wire."""
        return {name: n * self._call_seconds(name) for name, n in self.target.calls.items()}

    def _call_seconds(self, name: str) -> float:
        program, part = self.programs[name], self.parts[name]
        kernels = part.kernel_seconds
        if isinstance(program, TrainTarget):
            kernels = program.kernel_seconds(part.kernels)
        crossed, hidden = report.wire_seconds(part, self.target.chip.link_bandwidth)
        return part.seconds + kernels + crossed - hidden


def estimate_joint(target: JointTarget, cache: pathlib.Path) -> JointEstimate:
    """Reads or compiles every program's estimate.

    Args:
      target: The batch.
      cache: Folder of estimates.
    """
    programs = target.parts()
    return JointEstimate(target, programs, {n: estimate(p, cache) for n, p in programs.items()})


def page(joint: JointEstimate) -> str:
    """The sum over the programs, and the report of each."""
    lines = [report.title(joint.target)]
    lines += [report.row("does not fit", f"{n}: {text}") for n, text in joint.failures.items()]
    if not joint.failures:
        lines += [_memory(joint), *_times(joint)]
    if not joint.fits:
        lines.append(report.row("does not fit", f"change {joint.target.tunables} or the mesh"))
    pages = [report.page(joint.programs[name], part) for name, part in joint.parts.items()]
    return "\n\n".join(["\n".join(lines), *pages])


def _memory(joint: JointEstimate) -> str:
    largest, size = max(joint.temporaries.items(), key=lambda row: row[1])
    return report.row(
        "HBM a device",
        f"{joint.hbm / _GIB:.1f} of {joint.target.chip.hbm_gib} GiB: trainer "
        f"{joint.trainer / _GIB:.1f}, sampler {joint.sampler / _GIB:.1f}, and "
        f"{size / _GIB:.1f} for the {largest}",
    )


def _times(joint: JointEstimate) -> list[str]:
    seconds = joint.seconds
    total = sum(seconds.values())
    lines = [
        report.row("a batch", f"{report.time(total)}, samples at their longest, without judging")
    ]
    for name, calls in joint.target.calls.items():
        share = f"{seconds[name] / total:.2%}" if total else "-"
        lines.append(report.row(name, f"{report.time(seconds[name])} in {calls:,} calls, {share}"))
    return lines
