"""Compiles a job, or remembers what came of it."""

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
from codex_jax import files
from codex_jax.compile import hlo
from codex_jax.compile.targets import Job
from codex_jax.sharding import topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What the compiler says of a job; bytes are of one device.

    Attributes:
      fits: whether the compiler found room.
      arguments: bytes of what the program is given (state and batch).
      temporaries: bytes of what it makes on its way.
      outputs: bytes of what it returns.
      aliased: of the outputs, bytes that stand where arguments stood.
      host: bytes kept in the host's memory.
      seconds: of one step by the compiler's estimate, its kernels excepted.
      kernels: Pallas calls in a step.
      collectives: kind to (times run, bytes, of these bytes that travel beside computation).
      values: the largest, as (bytes, shape, source).
      compile_seconds: that the compiler took.
      compile_gib: the most memory this process had by then.
      trouble: the compiler's words where it found no room.
    """

    fits: bool
    arguments: int = 0
    temporaries: int = 0
    outputs: int = 0
    aliased: int = 0
    host: int = 0
    seconds: float = 0.0
    kernels: int = 0
    collectives: dict[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    values: tuple[tuple[int, str, str], ...] = ()
    compile_seconds: float = 0.0
    compile_gib: float = 0.0
    trouble: str = ""

    @property
    def hbm(self) -> int:
        """Bytes that must be free on a device."""
        return self.arguments + self.temporaries + self.outputs - self.aliased


def measured(job: Job, cache: pathlib.Path, *, text: pathlib.Path | None = None) -> Measured:
    """From the cache, where the same job was compiled by the same code; else by the compiler.

    Args:
      text: a file for the program's text; asks the compiler in any case.
    """
    path = cache / f"{key(job)}.json"
    if path.exists() and text is None:
        return Measured(**json.loads(path.read_text(encoding="utf-8")))
    program, result = _compile(job)
    cache.mkdir(parents=True, exist_ok=True)
    files.atomic_write(path, json.dumps(dataclasses.asdict(result), indent=1))
    if text:
        files.atomic_write(text, program)
    return result


def key(job: Job) -> str:
    """Names a job and the code that compiles it: ours, jax's and libtpu's."""
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")]
    parts = [repr(job), *versions, _libtpu(), _sources()]
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


def _compile(job: Job) -> tuple[str, Measured]:
    program = job.lower()
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():  # jax's own cache writes such programs, but can't read them
            warnings.filterwarnings("ignore", "Error reading persistent compilation cache")
            compiled = program.compile()
    except Exception as error:
        if not (trouble := _no_room(str(error))):
            raise
        return "", Measured(fits=False, trouble=trouble)
    took = time.perf_counter() - started
    text = compiled.as_text()
    return text, _read(job, compiled.memory_analysis(), hlo.read(text, turn=job.loops), took)


def _no_room(message: str) -> str:
    """The compiler's sentence on memory, or '' for an error of another kind."""
    words = " ".join(message.split())
    found = re.search(r"(?:Ran out|Exceeded|exceed)[^.]*memory.*?(?:\.\s|$)", words)
    return found.group().strip() if "RESOURCE_EXHAUSTED" in words and found else ""


def _read(job: Job, memory: Any, cost: hlo.Cost, took: float) -> Measured:
    chip, _ = topology.parse(job.topology)
    result = Measured(
        fits=True,
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        host=memory.host_temp_size_in_bytes + memory.host_argument_size_in_bytes,
        seconds=cost.cycles / chip.clock_hz,
        kernels=cost.kernels,
        collectives=cost.collectives,
        values=tuple(dataclasses.astuple(value) for value in cost.values),
        compile_seconds=took,
        compile_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    )
    return dataclasses.replace(result, fits=result.hbm <= chip.hbm_gib * 2**30)
