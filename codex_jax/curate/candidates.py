"""The `curate candidates` command: documented functions of packages that are only unpacked."""

import dataclasses
import functools
import pathlib
import random

from codex_jax.curate import functions, package_runs
from codex_jax.curate.execution import Runner, check_runner
from codex_jax.curate.inputs import call_sites
from codex_jax.curate.package_runs import Tally
from codex_jax.curate.packages import archives, modules
from codex_jax.curate.problems import attempt, trial


@dataclasses.dataclass(frozen=True)
class _Settings:
    runner: Runner
    seed: int
    per_package: int


def write_candidates(
    *,
    packages: str,
    output: str,
    runner: Runner,
    seed: int = 0,
    per_package: int = 40,
    workers: int = 0,
    package_timeout_s: float = 600.0,
) -> None:
    """Makes problems of documented functions; nothing of their packages runs outside a sandbox.

    A function is cut out with all that it needs, called with inputs from doctests, from calls that
    stand in the package, and from its annotations and names; the sandbox gives the outputs.
    `output` receives problems.jsonl in HumanEval's format, report.md with a row for each reason
    that a function fell out for, and packages/ with a result for each package: an interrupted run
    continues there.

    Args:
      packages: folder of sdists and wheels.
      output: folder to write into.
      runner: runs programs in sandboxes.
      seed: decides generated inputs, and which functions of a large package are tried.
      per_package: problems of one package at most; 0 means all.
      workers: packages at a time; 0 means one a core.
      package_timeout_s: seconds after which a package is given up.

    Raises:
      InputError: unusable settings, or a folder of somebody else's.
    """
    paths = archives.list_archives(packages)
    package_runs.check_settings(
        "curate.candidates",
        per_package=per_package,
        workers=workers,
        package_timeout_s=package_timeout_s,
    )
    check_runner(runner)
    settings = _Settings(runner, seed, per_package)
    folder = package_runs.claim(output, ("candidates", settings))
    make_result = functools.partial(_make_result, settings)
    package_runs.run(
        paths,
        make_result,
        folder,
        workers=workers,
        package_timeout_s=package_timeout_s,
    )


def _make_result(settings: _Settings, path: pathlib.Path, tally: Tally) -> package_runs.Result:
    try:
        package = modules.Package(archives.read_archive(path))
    except ValueError as error:
        tally.add(f"package: {str(error).partition(':')[0]}", path.name)
        return tally.result()
    tally.package = package.archive.name
    targets = [
        (module, node)
        for module in package.modules.values()
        if not module.is_test and not module.is_vendored
        for node in modules.documented_functions(module)
    ]
    if not targets:
        tally.add("package: no documented function", path.name)
        return tally.result()
    random.Random(settings.seed).shuffle(targets)
    calls = call_sites.find_calls(package)
    with settings.runner.open(trial.HASH_SEEDS) as session:
        workbench = functions.Workbench(package, session, route="candidates", seed=settings.seed)
        for module, node in targets:
            if settings.per_package and len(tally.problems) >= settings.per_package:
                tally.add("not tried: the package has enough", f"{module.name}.{node.name}")
                continue
            seeds = calls.get(node.name, [])
            make = functools.partial(workbench.make_problem, module, node, seeds, [])
            attempt.try_problem(tally, make, f"{module.name}.{node.name}")
    return tally.result()
