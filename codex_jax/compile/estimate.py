"""The compiler's estimate of a program, cached by configuration and code."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import re
import resource
import time
import warnings
from typing import Any

import codex_jax
from codex_jax.compile import hlo
from codex_jax.compile.targets import Target
from codex_jax.files import atomic_write
from codex_jax.sharding import topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """The compiler's estimate of a program; bytes are of a device.

    Attributes:
      fits: whether the program fits the memory.
      arguments: bytes of the inputs (state and batch).
      temporaries: bytes of intermediate values.
      outputs: bytes of the results.
      aliased: bytes of outputs in the memory of arguments.
      host: bytes in the host's memory.
      seconds: of one step by the compiler's estimate, its kernels excepted.
      kernels: Pallas calls in a step.
      kernel_seconds: least time of those that state FLOPs and bytes, at the chip's peak rates.
      uncounted_kernels: calls that don't state them.
      collectives: by type, (times run, bytes, bytes sent in parallel with computation).
      values: the largest, as (bytes, shape, source).
      compile_seconds: that the compiler seconds.
      compile_gib: peak memory of this process until then.
      failure: the compiler's message if the program doesn't fit.
    """

    fits: bool
    arguments: int = 0
    temporaries: int = 0
    outputs: int = 0
    aliased: int = 0
    host: int = 0
    seconds: float = 0.0
    kernels: int = 0
    kernel_seconds: float = 0.0
    uncounted_kernels: int = 0
    collectives: dict[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    values: tuple[tuple[int, str, str], ...] = ()
    compile_seconds: float = 0.0
    compile_gib: float = 0.0
    failure: str = ""

    @property
    def hbm(self) -> int:
        """Bytes that must be free on a device."""
        return self.arguments + self.temporaries + self.outputs - self.aliased


def estimate(
    target: Target, cache: pathlib.Path, *, hlo_output: pathlib.Path | None = None
) -> Estimate:
    """Reads the cached estimate of the same program and code, or compiles the program.

    Args:
      target: the program.
      cache: folder of estimates.
      hlo_output: file for the program's text; with it, the cache isn't read.
    """
    path = cache / f"{cache_key(target)}.json"
    if path.exists() and hlo_output is None:
        with contextlib.suppress(ValueError, TypeError):  # a damaged one is made again
            return Estimate(**json.loads(path.read_text(encoding="utf-8")))
    program, result = _compile(target)
    atomic_write(path, json.dumps(dataclasses.asdict(result), indent=1))
    if hlo_output:
        atomic_write(hlo_output, program)
    return result


def cache_key(target: Target) -> str:
    """Hash of a program and of the code that compiles it: ours, jax's and libtpu's."""
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")]
    parts = [repr(target), *versions, _libtpu(), _sources()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _libtpu() -> str:
    try:
        return importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _sources() -> str:
    root = pathlib.Path(codex_jax.__file__).parent
    rooms = ("model", "train", "sample", "sharding", "compile")
    digest = hashlib.sha256()
    for path in sorted(p for room in rooms for p in (root / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _compile(target: Target) -> tuple[str, Estimate]:
    program = target.lower()
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():  # jax's own cache writes such programs, but can't read them
            warnings.filterwarnings("ignore", "Error reading persistent compilation cache")
            compiled = program.compile()
    except Exception as error:
        if not (failure := _memory_failure(str(error))):
            raise
        return "", Estimate(fits=False, failure=failure)
    seconds = time.perf_counter() - started
    text = compiled.as_text()
    return text, _read(
        target, compiled.memory_analysis(), hlo.read(text, one_iteration=target.is_loop), seconds
    )


def _memory_failure(message: str) -> str:
    """The compiler's sentence on memory, or '' for another error."""
    words = " ".join(message.split())
    sentence = re.search(r"(?:Ran out|Exceeded|exceed)[^.]*memory.*?(?:\.\s|$)", words)
    return sentence.group().strip() if "RESOURCE_EXHAUSTED" in words and sentence else ""


def _read(target: Target, memory: Any, cost: hlo.Cost, seconds: float) -> Estimate:
    chip, _ = topology.parse(target.topology)
    result = Estimate(
        fits=True,
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        host=memory.host_temp_size_in_bytes + memory.host_argument_size_in_bytes,
        seconds=cost.cycles / chip.clock_hz,
        kernels=cost.kernels,
        kernel_seconds=sum(
            times * max(flops / chip.peak_flops, moved / chip.hbm_bandwidth)
            for times, flops, moved in cost.kernel_costs
        ),
        uncounted_kernels=cost.kernels - sum(times for times, _, _ in cost.kernel_costs),
        collectives=cost.collectives,
        values=tuple(dataclasses.astuple(value) for value in cost.values),
        compile_seconds=seconds,
        compile_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    )
    return dataclasses.replace(result, fits=result.hbm <= chip.hbm_gib * 2**30)
