"""Runs over many packages: a process each, results as they come, resumed by package.

A package that crashes its process or never ends costs itself alone, and its row says so.
"""

import collections
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from codex_jax import InputError, files, progress, ranges, records
from codex_jax.curate import markdown

_MOST_S = 1_000_000  # waiting counts milliseconds in 32 bits
_RANGES = {
    "per_package": ranges.integer(0),
    "workers": ranges.workers(),
    "package_timeout_s": ranges.real(0, _MOST_S, excludes_low=True),
    "tests_timeout_s": ranges.real(0, _MOST_S, excludes_low=True),
}
_RESULT = files.has_json_keys("package", "reasons")
_IS_SETTINGS = files.has_json_keys("settings")
_IS_PROBLEM = files.is_beside("settings.json", _IS_SETTINGS)
_OWN_FILES = {
    "packages": pathlib.Path.is_dir,
    "settings.json": _IS_SETTINGS,
    "problems.jsonl": _IS_PROBLEM,
    "undocumented.jsonl": _IS_PROBLEM,
    "report.json": files.has_json_keys("packages", "reasons"),
    "report.md": files.has_text("| reason |"),
}
_POLL_S = 0.2
_GRACE_S = 30.0  # until a package whose time is over must have written what it has
_TOO_LONG = "package: took too long"
_LONGEST_STEM = 200  # bytes; file systems take names of 255
_EXAMPLES = 3  # of each reason, for the report
MAKE_PROBLEM = "made a problem"

Result = dict[str, Any]


class OutOfTimeError(BaseException):
    """A package's time is over; no handler of ordinary errors may take it."""


class Tally:
    """Counts of what became of a package's functions, with examples of each reason."""

    def __init__(self, package: str):
        self.package = package
        self.reasons: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, list[str]] = {}
        self.problems: list[records.Problem] = []

    def add(self, reason: str, function: str) -> None:
        """Counts a function that makes no problem."""
        self.reasons[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(f"{self.package}: {function}")

    def add_problem(self, problem: records.Problem) -> None:
        """Counts a function that makes a problem."""
        self.reasons[MAKE_PROBLEM] += 1
        self.problems.append(problem)

    def result(self, **fields: Any) -> Result:
        """Returns the package's row, as JSON."""
        return {
            "package": self.package,
            "reasons": dict(self.reasons),
            "examples": self.examples,
            **fields,
            "problems": [json.loads(records.to_line(problem)) for problem in self.problems],
        }


MakeResult = Callable[[pathlib.Path, Tally], Result]


def check_settings(command: str, **settings: float) -> None:
    """Raises InputError where a setting of a command is out of its range."""
    ranges.check(command, settings, {name: _RANGES[name] for name in settings})


def claim(output: str, settings: object) -> pathlib.Path:
    """Returns the output folder, or refuses one that holds anything else than such results.

    Args:
      output: the folder.
      settings: what the results depend on; its `repr` is compared with that of the former run.

    Raises:
      InputError: it holds something else, or results of other settings.
    """
    folder = pathlib.Path(output)
    files.claim_folder(folder, _OWN_FILES, "output")
    results = folder / "packages"
    files.claim_folder(results, {"*.json": _RESULT}, "output")
    results.mkdir(parents=True, exist_ok=True)
    path, text = folder / "settings.json", json.dumps({"settings": repr(settings)}) + "\n"
    if any(results.iterdir()) and (not path.exists() or path.read_text("utf-8") != text):
        raise InputError(
            f"output {folder} has results of other settings; set output to another folder, or the "
            f"settings to those in {path.name}"
        )
    files.atomic_write(path, text)
    return folder


def run(
    archives: Sequence[pathlib.Path],
    make_result: MakeResult,
    folder: pathlib.Path,
    *,
    workers: int,
    package_timeout_s: float,
) -> None:
    """Has every archive that has no result yet worked through, then writes the joined files.

    Args:
      archives: Packages; each has one result.
      make_result: Returns the result of an archive, whose functions it counts in a Tally; called
        in a process of its own. What is counted when a package's time is over stays.
      folder: Output folder, which `claim` has returned.
      workers: Processes at a time; 0 means one a core.
      package_timeout_s: Wall time after which a package is given up.
    """
    workers = workers or len(os.sched_getaffinity(0))
    archives = list({_stem(path): path for path in reversed(archives)}.values())[::-1]
    paths = {path: folder / "packages" / f"{_stem(path)}.json" for path in archives}
    missing = [path for path in archives if not paths[path].exists()]
    done = len(archives) - len(missing)
    stopped = threading.Event()
    with (
        ThreadPoolExecutor(workers) as pool,
        progress.bar(desc="curate", total=len(archives), unit="package", done=done) as bar,
    ):
        started = [
            pool.submit(_run_package, path, make_result, paths[path], package_timeout_s, stopped)
            for path in missing
        ]
        try:
            for future in as_completed(started):
                future.result()
                bar.update()
        except BaseException:
            stopped.set()
            raise
    write_joined(folder, [paths[path] for path in archives])


def _stem(path: pathlib.Path) -> str:
    """Returns name and version of an archive; those of one version share a result."""
    parts = re.sub(r"\.(whl|zip|tgz|tar\.\w+)$", "", path.name).split("-")
    stem = "-".join(parts[:2]) if path.name.endswith(".whl") else "-".join(parts)
    if len(name := os.fsencode(stem)) <= _LONGEST_STEM:
        return stem
    return f"{stem[: _LONGEST_STEM // 8]}-{hashlib.sha256(name).hexdigest()}"


def _run_package(
    path: pathlib.Path,
    make_result: MakeResult,
    result: pathlib.Path,
    timeout_s: float,
    stopped: threading.Event,
) -> None:
    if stopped.is_set():
        return
    context = multiprocessing.get_context("spawn")
    arguments = (path, make_result, result, timeout_s)
    process = context.Process(target=_write_result, args=arguments, daemon=False)
    process.start()
    try:
        deadline = time.monotonic() + timeout_s + _GRACE_S
        while process.is_alive() and not stopped.is_set() and time.monotonic() < deadline:
            process.join(_POLL_S)
        if stopped.is_set():
            return
        reason = ""
        if not result.exists():
            ended = f"package: its process ended with status {process.exitcode}"
            reason = _TOO_LONG if process.is_alive() else ended
    finally:
        if process.is_alive():
            process.terminate()
            process.join(10)
            process.kill()
        process.join()
    if reason:
        tally = Tally(path.name)
        tally.add(reason, path.name)
        _write(result, tally.result())


def _write_result(
    path: pathlib.Path, make_result: MakeResult, result: pathlib.Path, timeout_s: float
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # sandboxes and scratch folders go, too
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGALRM, _raise_out_of_time)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    tally = Tally(path.name)
    try:
        row = make_result(path, tally)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except OutOfTimeError:
        tally.add(_TOO_LONG, path.name)
        row = tally.result()
    _write(result, row)


def _raise_out_of_time(*_: object) -> None:
    raise OutOfTimeError


def _end_with_parent() -> None:
    """Ends this process, which nobody limits any more once its parent was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _write(path: pathlib.Path, result: Result) -> None:
    files.atomic_write(path, json.dumps(result) + "\n")


def write_joined(folder: pathlib.Path, results: Sequence[pathlib.Path]) -> None:
    """Writes problems.jsonl, undocumented.jsonl and the report from the packages' results."""
    rows = [json.loads(path.read_text("utf-8")) for path in results]
    for name, documented in (("problems.jsonl", True), ("undocumented.jsonl", False)):
        records.write_jsonl(folder / name, _problems(rows, documented=documented))
    report = summarize(rows)
    files.atomic_write(folder / "report.json", json.dumps(report, indent=1) + "\n")
    files.atomic_write(folder / "report.md", table(report))
    print(table(report))


def _problems(rows: Sequence[Result], *, documented: bool) -> Iterator[records.Problem]:
    seen: set[str] = set()
    for row in rows:
        for fields in row["problems"]:
            if fields["documented"] == documented and fields["task_id"] not in seen:
                seen.add(fields["task_id"])
                yield records.parse_record(json.dumps(fields), records.Problem, where="result")


def summarize(rows: Sequence[Result]) -> dict[str, Any]:
    """Returns counts over all packages: of each reason, with examples, and of problems."""
    reasons: collections.Counter[str] = collections.Counter()
    examples: dict[str, list[str]] = {}
    for row in rows:
        reasons.update(row["reasons"])
        for reason, texts in row["examples"].items():
            examples[reason] = [*examples.get(reason, []), *texts][:_EXAMPLES]
    fruitful = sum(bool(row["problems"]) for row in rows)
    return {
        "packages": len(rows),
        "packages_with_problems": fruitful,
        "problems": len({(p["task_id"], p["documented"]) for row in rows for p in row["problems"]}),
        "reasons": dict(reasons.most_common()),
        "examples": examples,
    }


def table(report: Mapping[str, Any]) -> str:
    """Returns the report as Markdown: a row for each reason, with its share and examples."""
    total = sum(report["reasons"].values()) or 1
    lines = [
        f"{report['problems']} problems from {report['packages_with_problems']} of "
        f"{report['packages']} packages",
        "",
        "| reason | functions | share | examples |",
        "|---|---|---|---|",
    ]
    for reason, count in report["reasons"].items():
        examples = markdown.format_codes(report["examples"].get(reason, []))
        lines.append(f"| {reason} | {count} | {100 * count / total:.1f} % | {examples} |")
    return "\n".join([*lines, ""])
