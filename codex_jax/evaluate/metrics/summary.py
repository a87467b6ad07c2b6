"""Summary of a run's verdicts: pass@k by group and counts of causes, also as text."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codex_jax import records
from codex_jax.evaluate.metrics.pass_at_k import Estimate, check_ks, estimate
from codex_jax.evaluate.verdicts import Cause

PROBLEM_GROUPS = ("blocks", "language")  # fields of problems by which pass@k is grouped
SAMPLE_GROUPS = ("temperature",)  # fields of completions by which pass@k is grouped
_CURVE = tuple(m * 10**e for e in range(5) for m in (1, 2, 5))  # the k of the curve, up to 50,000


def summary(
    tasks: Mapping[str, records.Problem],
    verdicts: Sequence[records.Verdict],
    ks: Sequence[int],
    samples: Sequence[records.Completion] = (),
) -> dict[str, Any]:
    """Returns pass@k over all problems and by group, and counts of causes.

    Args:
      tasks: the problems by task_id.
      verdicts: the verdicts.
      ks: the k of pass@k.
      samples: the judged samples in the order of the verdicts; empty for no groups of samples.

    Raises:
      InputError: no list of k, or one with a repeat.
    """
    check_ks(ks)
    counts = count_passes(verdicts)
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    for field in PROBLEM_GROUPS:
        for task_id, count in counts.items():
            if field in tasks[task_id].extra:
                value = str(tasks[task_id].extra[field])
                groups.setdefault(field, {}).setdefault(value, {})[task_id] = count
    for field in SAMPLE_GROUPS:
        for sample, row in zip(samples, verdicts, strict=bool(samples)):
            if field in sample.extra and row.cause != Cause.LEFT_OUT:
                members = groups.setdefault(field, {}).setdefault(str(sample.extra[field]), {})
                n, c = members.get(row.task_id, (0, 0))
                members[row.task_id] = (n + 1, c + row.passed)
    most = max((n for n, _ in counts.values()), default=0)
    return {
        "problems": len(counts),
        "samples": len(verdicts),
        "references": _references(tasks, verdicts),
        "pass_at_k": _as_json(estimate(counts, ks)),
        "curve": _as_json(estimate(counts, [k for k in _CURVE if k <= most])),
        "modes": dict(collections.Counter(row.extra.get("mode", "outside") for row in verdicts)),
        "groups": {
            field: {
                v: _as_json(estimate(members, ks))
                for v, members in sorted(values.items(), key=lambda item: _sort_key(item[0]))
            }
            for field, values in groups.items()
        },
        "causes": dict(collections.Counter(row.cause for row in verdicts).most_common()),
    }


def _references(
    tasks: Mapping[str, records.Problem], verdicts: Iterable[records.Verdict]
) -> dict[str, Any]:
    """Counts the references, and names the problems for whose samples theirs made a difference."""
    rows = {row.task_id: row for row in verdicts}
    moved = [
        name
        for name, row in rows.items()
        if row.extra.get("mode") == "in-process" and not tasks[name].extra.get("mode")
    ]
    return {
        "checked": sum(bool(tasks[name].canonical_solution) for name in rows),
        "judged_in_process": moved,
        "left_out": {n: row.detail for n, row in rows.items() if row.cause == Cause.LEFT_OUT},
    }


def references_lines(report: Mapping[str, Any]) -> list[str]:
    """Formats how many references were run, and each problem that is judged otherwise or not."""
    counts = report.get("references") or {"checked": 0, "judged_in_process": [], "left_out": {}}
    moved, left_out = counts["judged_in_process"], counts["left_out"]
    if not (counts["checked"] or moved or left_out):
        return []
    lines = [
        f"{counts['checked']} references were run first: {len(moved)} problems are judged "
        f"in-process, {len(left_out)} are left out of pass@k"
    ]
    if moved:
        lines.append(
            f"judged in-process, as their references can't be judged outside: {', '.join(moved)}"
        )
    by_reason: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        by_reason.setdefault(reason, []).append(name)
    return lines + [f"left out: {', '.join(n)} ({reason})" for reason, n in by_reason.items()]


def count_passes(verdicts: Iterable[records.Verdict]) -> dict[str, tuple[int, int]]:
    """Counts (samples, correct samples) by task_id."""
    counts: dict[str, tuple[int, int]] = {}
    for row in verdicts:
        if row.cause == Cause.LEFT_OUT:
            continue
        n, c = counts.get(row.task_id, (0, 0))
        counts[row.task_id] = (n + 1, c + row.passed)
    return counts


def _as_json(estimates: Mapping[int, Estimate | None]) -> dict[str, dict[str, Any]]:
    return {str(k): vars(estimate) for k, estimate in estimates.items() if estimate is not None}


def table(report: Mapping[str, Any]) -> str:
    """Formats the report's pass@k for a terminal, in percent, with 95 % intervals."""
    rows, ks = grouped_rows(report)
    lines = [f"{'':12}" + "".join(f"{'pass@' + k:>24}" for k in ks)]
    for name, row in rows.items():
        cells = (_cell(row[k]) if k in row else "-" for k in ks)
        lines.append(f"{name:12}" + "".join(f"{cell:>24}" for cell in cells))
    causes = ", ".join(f"{cause} {count}" for cause, count in report["causes"].items())
    lines.append(f"{report['samples']} samples of {report['problems']} problems: {causes}")
    return "\n".join([*lines, *references_lines(report)])


def grouped_rows(report: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Returns the report's pass@k by row name (all, then the groups), and every k in order."""
    rows = {"all": report["pass_at_k"]}
    for field, values in report["groups"].items():
        rows |= {f"{field} {value}": row for value, row in values.items()}
    return rows, sorted({k for row in rows.values() for k in row}, key=int)


def _cell(estimate: Mapping[str, Any]) -> str:
    return str(Estimate(**estimate))


def _sort_key(value: str) -> tuple[float, str]:
    """Sorts numbers by value, before words."""
    try:
        return float(value), ""
    except ValueError:
        return float("inf"), value


def markdown(report: Mapping[str, Any]) -> str:
    """Formats the report as Markdown tables, in percent."""
    rows, ks = grouped_rows(report)
    lines = [_line("", *(f"pass@{k}" for k in ks)), _line(*["---"] * (len(ks) + 1))]
    for name, row in rows.items():
        lines.append(_line(name, *(_cell(row[k]) if k in row else "–" for k in ks)))
    lines += ["", _line("cause", "samples"), _line("---", "---:")]
    lines += [_line(cause.replace("_", " "), f"{n:,}") for cause, n in report["causes"].items()]
    if shares := report.get("selection"):
        lines += ["", _line("one sample selected by", "solved"), _line("---", "---:")]
        lines += [_line(name, f"{share:.1%}") for name, share in shares.items()]
    if curves := report.get("selection_curves"):
        sizes = list(curves["prompt"])
        lines += ["", _line("chosen of", *sizes), _line(*["---"] * (len(sizes) + 1))]
        lines += [_line(name, *map(_cell, curve.values())) for name, curve in curves.items()]
    if paired := report.get("paired"):
        span = f"{paired['low']:+.1%} to {paired['high']:+.1%}"
        lines += ["", f"Against {paired['baseline']}: pass@1 {paired['difference']:+.1%} ({span})"]
    size = f"{report['samples']:,} samples of {report['problems']} problems"
    modes = ", ".join(f"{n:,} {mode}" for mode, n in report["modes"].items())
    sandbox = f" in {report['isolation']}" if "isolation" in report else ""
    lines += ["", *references_lines(report)]
    return "\n".join([f"{size}; judged{sandbox}: {modes}.", "", *lines]) + "\n"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
