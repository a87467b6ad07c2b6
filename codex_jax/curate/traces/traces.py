"""The `curate traces` command: functions that packages' own tests call."""

import dataclasses
import functools
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from codex_jax.curate import functions, package_runs
from codex_jax.curate.execution import Runner, check_runner
from codex_jax.curate.inputs import call_sites
from codex_jax.curate.package_runs import Tally
from codex_jax.curate.packages import archives, modules
from codex_jax.curate.problems import attempt, trial
from codex_jax.curate.traces import cpython, environments, records_of_calls

Prepared = tuple[modules.Package, list[str], str]
_LOADED_BEFORE = sys.stdlib_module_names | {"pytest", "_pytest", "py", "setup"}  # setup.py
_SCRIPTS = ("recorder.py", "run_tests.py")


class Commander(Protocol):
    """Runs a script with files of its own in a sandbox."""

    def check(self) -> str:
        """Returns the name of the sandbox; raises InputError if none works as it is set."""
        ...

    def lines(
        self,
        files: pathlib.Path,
        arguments: Sequence[str],
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Yields the lines that the script writes to descriptor 3."""
        ...


@dataclasses.dataclass(frozen=True)
class _Settings:
    runner: Runner
    commander: Commander
    seed: int
    tests_timeout_s: float


def write_traces(
    *,
    packages: str,
    output: str,
    runner: Runner,
    commander: Commander,
    cpython_tests: bool = False,
    seed: int = 0,
    workers: int = 0,
    tests_timeout_s: float = 120.0,
    package_timeout_s: float = 900.0,
) -> None:
    """Makes problems of functions that packages' own tests call, with the arguments that they saw.

    Each package gets an environment of its own, from wheels; its tests run under a recorder in a
    sandbox without network. A function is then cut out with all that it needs and answers the
    recorded calls alone, in the sandbox; more inputs grow from them. `output` is as that of
    `curate candidates`; functions without a docstring go to undocumented.jsonl.

    Args:
      packages: folder of sdists with tests; "" if only CPython's tests are run.
      output: folder to write into.
      runner: runs programs in sandboxes.
      commander: runs tests in sandboxes.
      cpython_tests: also run the test package of this Python.
      seed: decides generated inputs.
      workers: packages at a time; 0 means one a core.
      tests_timeout_s: seconds after which a package's tests are ended; what they called counts.
      package_timeout_s: seconds after which a package is given up.

    Raises:
      InputError: unusable settings, or a folder of somebody else's.
    """
    paths = archives.list_archives(packages) if packages or not cpython_tests else []
    paths += [cpython.library()] if cpython_tests else []
    package_runs.check_settings(
        "curate.traces",
        workers=workers,
        tests_timeout_s=tests_timeout_s,
        package_timeout_s=package_timeout_s,
    )
    check_runner(runner)
    commander.check()
    settings = _Settings(runner, commander, seed, tests_timeout_s)
    folder = package_runs.claim(output, ("traces", settings))
    make_result = functools.partial(_make_result, settings)
    package_runs.run(
        paths,
        make_result,
        folder,
        workers=workers,
        package_timeout_s=package_timeout_s,
    )


def _make_result(settings: _Settings, path: pathlib.Path, tally: Tally) -> package_runs.Result:
    with tempfile.TemporaryDirectory(prefix="codex-jax-traces-") as folder:
        kit = pathlib.Path(folder)
        kit.chmod(0o755)
        try:
            prepare = _prepare_library if path.is_dir() else _prepare_package
            package, arguments, missing = prepare(path, kit)
        except ValueError as error:
            tally.add(f"package: {str(error).partition(':')[0]}", path.name)
            return tally.result()
        tally.package = package.archive.name
        is_library = path.is_dir()
        lines = settings.commander.lines(
            kit,
            arguments,
            timeout_s=settings.tests_timeout_s * (5 if is_library else 1),
            environment={"PYTHONPATH": "/kit/library" if is_library else "/kit/site"},
        )
        recorded = records_of_calls.read_cases(lines, package)
    if not recorded:
        tally.add(f"package: {_no_call_reason(package)}", missing or package.archive.name)
    else:
        _make_problems(settings, package, recorded, tally)
    calls = sum(map(len, recorded.values()))
    return tally.result(recorded_calls=calls, recorded_functions=len(recorded), missing=missing)


def _no_call_reason(package: modules.Package) -> str:
    """Returns why no call was recorded."""
    if _own_roots(package) <= _LOADED_BEFORE:
        return "its name is pytest's or that of a module of Python, which is imported instead"
    return "no call was recorded"


def _own_roots(package: modules.Package) -> set[str]:
    return {m.name.partition(".")[0] for m in package.modules.values() if not m.is_test}


def _prepare_package(path: pathlib.Path, kit: pathlib.Path) -> Prepared:
    """Fills the folder that the tests see; returns the package, the script's arguments, a note."""
    package = modules.Package(archives.read_archive(path))
    if not any(module.is_test for module in package.modules.values()):
        raise ValueError("no tests in the archive")
    source = kit / "source"
    archives.unpack(path, source)
    missing = environments.install(package.archive, kit / "site")
    _finish_kit(kit)
    folders = [folder for folder in sorted(source.iterdir()) if folder.is_dir()]
    top = f"/kit/source/{folders[0].name}" if len(folders) == 1 else "/kit/source"
    roots = ",".join(sorted(_own_roots(package)))
    arguments = ["/kit/run_tests.py", "pytest", roots, top]
    return package, [*arguments, "/kit/site", f"{top}/src", top], missing


def _prepare_library(path: pathlib.Path, kit: pathlib.Path) -> Prepared:
    ignored = shutil.ignore_patterns("site-packages", "__pycache__", "*.so", "*.a", "*.o")
    shutil.copytree(path, kit / "library", ignore=ignored)
    _finish_kit(kit)
    package = modules.Package(cpython.read_library(path))
    arguments = ["/kit/run_tests.py", "unittest", ",".join(sorted(package.roots))]
    return package, [*arguments, *cpython.test_modules(path)], ""


def _finish_kit(kit: pathlib.Path) -> None:
    """Adds the scripts, and makes everything readable to the sandbox's user."""
    for name in _SCRIPTS:
        shutil.copyfile(pathlib.Path(__file__).with_name(name), kit / name)
    for path in kit.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def _make_problems(
    settings: _Settings,
    package: modules.Package,
    recorded: Mapping[records_of_calls.Function, Sequence],
    tally: Tally,
) -> None:
    calls = call_sites.find_calls(package)
    nodes = modules.top_level_functions(package)
    with settings.runner.open(trial.HASH_SEEDS) as session:
        workbench = functions.Workbench(package, session, route="traces", seed=settings.seed)
        for (module_name, name), cases in recorded.items():
            module, node = package.modules[module_name], nodes[module_name, name]
            seeds = calls.get(name, [])
            make = functools.partial(workbench.make_problem, module, node, seeds, cases)
            attempt.try_problem(tally, make, f"{module_name}.{name}")
