"""Agreement of the hosts before the first step: the same facts, the same folder."""

import collections
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

import codex_jax
from codex_jax import InputError
from codex_jax.hosts.peers import name_processes
from codex_jax.hosts.watch import Watch

_PACKAGES = ("jax", "jaxlib", "libtpu", "flax", "optax", "orbax-checkpoint", "numpy")
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
# Of JAX, by variable of the environment or otherwise: what changes the numbers, or the program.
_JAX_SETTINGS = (
    *("jax_enable_x64", "jax_default_matmul_precision", "jax_numpy_dtype_promotion"),
    *("jax_default_prng_impl", "jax_threefry_partitionable", "jax_random_seed_offset"),
    *("jax_allow_f16_reductions", "jax_softmax_custom_jvp", "jax_disable_jit"),
    *("jax_disable_most_optimizations", "jax_optimization_level", "jax_memory_fitting_level"),
    *("jax_exec_time_optimization_effort", "jax_memory_fitting_effort"),
    *("jax_compiler_enable_remat_pass", "jax_use_shardy_partitioner"),
    *("jax_cpu_collectives_implementation", "jax_enable_pgle"),
)
_MOST_SHOWN = 5


def program_facts() -> dict[str, str]:
    """Returns name → value of what makes the same settings compute the same: code and versions."""
    folder = pathlib.Path(codex_jax.__file__).parent
    code = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        code.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    facts = {"code": code.hexdigest()[:12], "commit": _commit(folder.parent)}
    facts["python"] = platform.python_version()
    facts["devices"] = f"{jax.local_device_count()} × {jax.local_devices()[0].device_kind}"
    for package in _PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "none"
    facts |= {flag: os.environ.get(flag, "") for flag in _FLAGS}
    return facts | {name: str(jax.config.values.get(name)) for name in _JAX_SETTINGS}


def _commit(folder: pathlib.Path) -> str:
    """Commit of a checkout, or the one that tpu_scripts copied; empty where neither is known."""
    mark = folder / "COMMIT"
    if mark.is_file():
        return mark.read_text("utf-8").strip()[:12]
    command = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def agree(watch: Watch, make_facts: Callable[[], Mapping[str, Any]]) -> None:
    """Compares facts over all processes: their digest, and where that differs each of them.

    Raises:
      InputError: they differ; names the odd processes, and what differs.
    """
    if watch.peers.count == 1:
        return
    facts = {name: repr(value) for name, value in make_facts().items()}
    text = json.dumps(facts, sort_keys=True)
    digests = watch.exchange("digest", hashlib.sha256(text.encode()).hexdigest())
    if len(set(digests)) > 1:
        tables = [json.loads(each) for each in watch.exchange("facts", text)]
        raise InputError(explain_differences(tables))


def explain_differences(tables: list[dict[str, str]]) -> str:
    """Returns a line that names the processes that aren't like most, and the facts that differ."""
    groups: dict[str, list[int]] = collections.defaultdict(list)
    for process, table in enumerate(tables):
        groups[json.dumps(table, sort_keys=True)].append(process)
    common, *odd = sorted(groups.values(), key=lambda group: (-len(group), group))
    expected, lines = tables[common[0]], []
    for group in odd:
        table = tables[group[0]]
        names = sorted(n for n in expected.keys() | table if expected.get(n) != table.get(n))
        shown = [f"{n} is {table.get(n)}, not {expected.get(n)}" for n in names[:_MOST_SHOWN]]
        if len(names) > len(shown):
            shown.append(f"{len(names) - len(shown)} more")
        lines.append(f"{name_processes(group)}: {', '.join(shown)}")
    return (
        f"the hosts don't agree; unlike {name_processes(common)}, {'; '.join(lines)}; set the same "
        "on every host"
    )


def check_shared(watch: Watch, path: Any, text: str, setting: str) -> None:
    """Checks that all processes see the same folder: the file that process 0 wrote there.

    A mounted bucket may show a former file for a minute.

    Args:
      watch: Over the processes.
      path: Of the file.
      text: Part of its content, on process 0.
      setting: The folder's setting, for the message.

    Raises:
      InputError: some don't see it.
    """
    if watch.peers.count == 1:
        return
    expected = watch.exchange("mark", text)[0]
    end = time.monotonic() + 1.5 * watch.limits.lost_after_s
    with watch.during(f"a look for {path}"):
        while not (is_seen := _holds(path, expected)) and time.monotonic() < end:
            time.sleep(0.5)
    answers = watch.exchange("shared", "yes" if is_seen else "no")
    if blind := [process for process, answer in enumerate(answers) if answer == "no"]:
        raise InputError(
            f"{setting} {path.parent} isn't the same folder on all hosts: "
            f"{name_processes(blind)} can't see what process 0 writes there; set {setting} to a "
            "folder that all of them share, such as a mounted bucket"
        )


def _holds(path: Any, text: str) -> bool:
    try:
        return text in path.read_text("utf-8")
    except (OSError, ValueError):
        return False
