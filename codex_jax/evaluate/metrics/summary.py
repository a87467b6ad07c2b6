"""What a run's verdicts amount to: pass@k by group, causes, and the same as text."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codex_jax import records
from codex_jax.evaluate.metrics.pass_at_k import Estimate, estimate

GROUPS = ("blocks", "language")  # fields of problems by which the report breaks pass@k down
OF_SAMPLES = ("temperature",)  # and of completions
_CURVE = tuple(m * 10**e for e in range(5) for m in (1, 2, 5))  # the k of the curve, up to 50,000


def summary(
    tasks: Mapping[str, records.Problem],
    verdicts: Sequence[records.Verdict],
    ks: Sequence[int],
    samples: Sequence[records.Completion] = (),
) -> dict[str, Any]:
    """pass@k over all problems and by group, and how often each cause occurred.

    Args:
      samples: what the verdicts are of, in their order, where groups of samples are wanted too.
    """
    counts = counted(verdicts)
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    for field in GROUPS:
        for task_id, count in counts.items():
            if field in tasks[task_id].extra:
                value = str(tasks[task_id].extra[field])
                groups.setdefault(field, {}).setdefault(value, {})[task_id] = count
    for field in OF_SAMPLES:
        for sample, row in zip(samples, verdicts, strict=bool(samples)):
            if field in sample.extra:
                members = groups.setdefault(field, {}).setdefault(str(sample.extra[field]), {})
                n, c = members.get(row.task_id, (0, 0))
                members[row.task_id] = (n + 1, c + row.passed)
    most = max((n for n, _ in counts.values()), default=0)
    return {
        "problems": len(counts),
        "samples": len(verdicts),
        "pass_at_k": _as_json(estimate(counts, ks)),
        "curve": _as_json(estimate(counts, [k for k in _CURVE if k <= most])),
        "modes": dict(collections.Counter(row.extra.get("mode", "outside") for row in verdicts)),
        "groups": {
            field: {
                v: _as_json(estimate(members, ks))
                for v, members in sorted(values.items(), key=lambda item: _order(item[0]))
            }
            for field, values in groups.items()
        },
        "causes": dict(collections.Counter(row.cause for row in verdicts).most_common()),
    }


def counted(verdicts: Iterable[records.Verdict]) -> dict[str, tuple[int, int]]:
    """Samples and right ones among them, by task_id."""
    counts: dict[str, tuple[int, int]] = {}
    for row in verdicts:
        n, c = counts.get(row.task_id, (0, 0))
        counts[row.task_id] = (n + 1, c + row.passed)
    return counts


def _as_json(estimates: Mapping[int, Estimate | None]) -> dict[str, dict[str, Any]]:
    return {str(k): vars(found) for k, found in estimates.items() if found is not None}


def table(report: Mapping[str, Any]) -> str:
    """The report's pass@k as lines for a terminal, in percent, with 95 % intervals."""
    rows = {"all": report["pass_at_k"]}
    for field, values in report["groups"].items():
        rows |= {f"{field} {value}": found for value, found in values.items()}
    ks = sorted({k for row in rows.values() for k in row}, key=int)
    lines = [f"{'':12}" + "".join(f"{'pass@' + k:>24}" for k in ks)]
    for name, row in rows.items():
        cells = (_cell(row[k]) if k in row else "-" for k in ks)
        lines.append(f"{name:12}" + "".join(f"{cell:>24}" for cell in cells))
    causes = ", ".join(f"{cause} {count}" for cause, count in report["causes"].items())
    lines.append(f"{report['samples']} samples of {report['problems']} problems: {causes}")
    return "\n".join(lines)


def _cell(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.1%} ({found['low']:.1%}-{found['high']:.1%})"


def _order(value: str) -> tuple[float, str]:
    """Numbers as numbers, before words."""
    try:
        return float(value), ""
    except ValueError:
        return float("inf"), value


def markdown(report: Mapping[str, Any]) -> str:
    """The report as tables for a README or an issue, in percent."""
    rows = {"all": report["pass_at_k"]}
    for field, values in report["groups"].items():
        rows |= {f"{field} {value}": found for value, found in values.items()}
    ks = sorted({k for row in rows.values() for k in row}, key=int)
    lines = [_line("", *(f"pass@{k}" for k in ks)), _line(*["---"] * (len(ks) + 1))]
    for name, row in rows.items():
        lines.append(_line(name, *(_cell(row[k]) if k in row else "–" for k in ks)))
    lines += ["", _line("cause", "samples"), _line("---", "---:")]
    lines += [_line(cause.replace("_", " "), f"{n:,}") for cause, n in report["causes"].items()]
    if chosen := report.get("selection"):
        lines += ["", _line("one sample chosen by", "solved"), _line("---", "---:")]
        lines += [_line(name, f"{share:.1%}") for name, share in chosen.items()]
    if paired := report.get("paired"):
        span = f"{paired['low']:+.1%} to {paired['high']:+.1%}"
        lines += ["", f"Against {paired['baseline']}: pass@1 {paired['difference']:+.1%} ({span})"]
    told = f"{report['samples']:,} samples of {report['problems']} problems"
    modes = ", ".join(f"{n:,} {mode}" for mode, n in report["modes"].items())
    where = f"judged in {report['isolation']}" if "isolation" in report else "judged"
    return "\n".join([f"{told}; {where}: {modes}.", "", *lines]) + "\n"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
