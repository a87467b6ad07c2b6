"""Self-contained HTML report: the training loss, pass@k, and a browser of all samples."""

import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import InputError, files, records
from codex_jax.evaluate.metrics.selection import selection
from codex_jax.evaluate.metrics.summary import grouped_rows, references_lines, summary
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.problems.samples import load_completions
from codex_jax.evaluate.report import plots
from codex_jax.evaluate.select.curve import selection_curves
from codex_jax.list_settings import check_distinct

_PAGE = pathlib.Path(__file__).with_name("page.html")
_MARK = '<meta name="generator" content="codex-jax report">'


def write_report(
    *,
    output: str = "report.html",
    problems: str,
    completions: str,
    verdicts: str,
    metrics: str = "",
    selected: str = "",
    others: Sequence[str] = (),
    ks: Sequence[int] = (1, 10, 100),
    title: str = "codex-jax",
) -> None:
    """Writes one HTML page that needs no other file and no network.

    Args:
      output: the page to write.
      problems: JSON Lines of problems.
      completions: JSON Lines of completions, as they were evaluated.
      verdicts: verdicts.jsonl of that evaluation.
      metrics: metrics.jsonl of a training run; empty for none.
      selected: selection.jsonl of `evaluate select`, to plot what it solves; empty for none.
      others: verdicts.jsonl of other methods on these problems, to plot pass@1 by blocks beside.
      ks: the k of pass@k.
      title: the page's heading.

    Raises:
      InputError: a file is missing or malformed, or a completion has no verdict.
    """
    files.claim_file(output, files.has_text(_MARK), "output")
    tasks = formats.load_problems(problems)
    samples = load_completions(completions, tasks)
    by_sample = {
        (row.task_id, row.sample_index): row
        for row in records.read_jsonl(verdicts, records.Verdict)
    }
    missing = [s for s in samples if (s.task_id, s.sample_index) not in by_sample]
    if missing:
        raise InputError(
            f"{verdicts}: no verdict for {len(missing)} completions, the first being of "
            f"{missing[0].task_id}; run evaluate on {completions} first"
        )
    rows = [by_sample[sample.task_id, sample.sample_index] for sample in samples]
    report = summary(tasks, rows, ks, samples)
    sections = _loss_section(metrics) + _curve_section(report["curve"])
    sections += _group_sections(report["groups"]) + _selection_section(selected, rows)
    sections += _decay_section(tasks, [verdicts, *others]) if others else ""
    page = _PAGE.read_text(encoding="utf-8")
    fields = {
        "title": html.escape(title),
        "tiles": _tiles(report, rows),
        "sections": sections,
        "table": _table(report),
        "causes": _causes(report["causes"]) + _references(report),
        "selection": _selection(selection(samples, rows)),
        "data": _data(tasks, samples, rows),
    }
    for name, text in fields.items():
        page = page.replace("{{" + name + "}}", text)
    files.atomic_write(output, page.encode("utf-8", "replace"))  # lone surrogates
    print(f"{output}: {report['samples']} samples of {report['problems']} problems")


def _loss_section(path: str) -> str:
    if not path:
        return ""
    lines = read_metrics(path)
    section = _figure("Training loss", plots.loss_curve(lines))
    if curves := plots.validation_curves(lines):
        section += _figure("Validation, bits per byte by Task", curves)
    return section


def read_metrics(path: str) -> list[dict[str, Any]]:
    """Reads the lines of metrics.jsonl, {"step": …, "loss": …, …} each."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; expected metrics.jsonl of a training run"
        ) from None
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            fields = files.parse_json(line)
            numbers = {"step": int(fields["step"]), "loss": float(fields["loss"])}
            lines.append({**fields, **numbers})
        except (ValueError, TypeError, KeyError, OverflowError):
            raise InputError(
                f'{path}:{number}: expected {{"step": …, "loss": …}}, not {line[:60]!r}'
            ) from None
    if not lines:
        raise InputError(f"{path}: empty; expected metrics.jsonl of a training run")
    return lines


def _curve_section(curve: Mapping[str, Any]) -> str:
    return _figure("pass@k over k, with 95 % intervals over problems", plots.pass_curve(curve))


def _decay_section(tasks: Mapping[str, records.Problem], paths: Sequence[str]) -> str:
    """Plots pass@1 by blocks for each file of verdicts, named by its folder, else its path."""
    methods = {}
    resolved = [pathlib.Path(path).resolve() for path in paths]
    check_distinct(**{"verdicts and others": list(map(str, resolved))})
    folders = {path.parent.name for path in resolved}
    names = [p.parent.name if len(folders) == len(paths) else str(p) for p in resolved]
    for name, path in zip(names, paths, strict=True):
        rows = [row for row in records.read_jsonl(path, records.Verdict) if row.task_id in tasks]
        blocks = summary(tasks, rows, (1,))["groups"].get("blocks")
        if not blocks:
            raise InputError(
                f"{path}: no verdicts on problems with blocks; set others to verdicts on chains"
            )
        methods[name] = {n: row["1"] for n, row in blocks.items()}
    return _figure("pass@1 by the number of blocks and by method", plots.decay_curves(methods))


def _selection_section(path: str, rows: Sequence[records.Verdict]) -> str:
    if not path:
        return ""
    chosen = list(records.read_jsonl(path, records.Completion))
    if missing := next((row for row in chosen if "evidence" not in row.extra), None):
        raise InputError(
            f"{path}: {missing.task_id} lacks evidence; set selected to what evaluate select wrote"
        )
    judged = {(row.task_id, row.sample_index) for row in rows}
    for row in chosen:
        for fields in row.extra["evidence"]:
            if (row.task_id, fields["sample_index"]) not in judged:
                raise InputError(
                    f"{path}: {row.task_id}, sample {fields['sample_index']} has no verdict; set "
                    "selected to what evaluate select chose of these completions"
                )
    caption = "Problems solved by the chosen sample, by what it is chosen by"
    return _figure(caption, plots.selection_curves(selection_curves(chosen, rows)))


def _group_sections(groups: Mapping[str, Any]) -> str:
    titles = {"blocks": "pass@k by the number of chained building blocks"}
    labels = {"blocks": "number of blocks in the chain", "temperature": "sampling temperature"}
    return "".join(
        _figure(
            titles.get(field, f"pass@k by {field}"),
            plots.pass_rates(values, label=labels.get(field, field)),
        )
        for field, values in groups.items()
    )


def _figure(caption: str, svg: str) -> str:
    return f"<figure><figcaption>{html.escape(caption)}</figcaption>{svg}</figure>"


def _tiles(report: Mapping[str, Any], rows: Sequence[records.Verdict]) -> str:
    tiles = [("problems", f"{report['problems']:,}"), ("samples", f"{report['samples']:,}")]
    tiles += [(f"pass@{k}", f"{row['mean']:.1%}") for k, row in report["pass_at_k"].items()]
    if any(row.extra.get("mode") == "in-process" for row in rows):
        tiles.append(("verdicts reached", " and ".join(report["modes"])))
    tiles.append(("judged in", ", ".join(sorted({row.isolation for row in rows} - {""})) or "?"))
    return "".join(f"<div><b>{html.escape(v)}</b><span>{n}</span></div>" for n, v in tiles)


def _table(report: Mapping[str, Any]) -> str:
    rows, ks = grouped_rows(report)
    head = "".join(f"<th>pass@{k}</th>" for k in ks)
    lines = [f"<tr><th></th>{head}<th>problems</th></tr>"]
    for name, row in rows.items():
        cells = "".join(f"<td>{_cell(row.get(k))}</td>" for k in ks)
        count = max((estimate["problems"] for estimate in row.values()), default=0)
        lines.append(f"<tr><th>{html.escape(name)}</th>{cells}<td>{count}</td></tr>")
    return f"<table>{''.join(lines)}</table>"


def _cell(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "–"
    mean, low, high = (100 * estimate[name] for name in ("mean", "low", "high"))
    return f"{mean:.1f} % <small>{low:.1f}–{high:.1f}</small>"


def _causes(causes: Mapping[str, int]) -> str:
    total = sum(causes.values())
    return "".join(
        f'<div class="cause"><span>{html.escape(cause.replace("_", " "))}</span>'
        f'<i class="{html.escape(cause)}" style="width:{100 * count / total:.2f}%"></i>'
        f"<span>{count:,} · {count / total:.1%}</span></div>"
        for cause, count in causes.items()
    )


def _references(report: Mapping[str, Any]) -> str:
    return "".join(f"<p>{html.escape(line)}</p>" for line in references_lines(report))


def _selection(shares: Mapping[str, float]) -> str:
    names = {
        "random": "at random",
        "mean_logprob": "by mean log-probability",
        "sum_logprob": "by log-probability",
        "mbr_exec": "by agreement of outputs (MBR-exec)",
        "oracle": "by an oracle",
    }
    lines = "".join(f"<tr><th>{names[n]}</th><td>{s:.1%}</td></tr>" for n, s in shares.items())
    return f"<table>{lines}</table>"


def _data(
    tasks: Mapping[str, records.Problem],
    samples: Sequence[records.Completion],
    rows: Sequence[records.Verdict],
) -> str:
    """Returns the sample browser's data as JSON: each prompt once, each sample as a short list."""
    names = sorted({sample.task_id for sample in samples})
    index = {name: i for i, name in enumerate(names)}
    data = {
        "problems": [
            [name, tasks[name].prompt, tasks[name].extra.get("language", "python")]
            for name in names
        ],
        "samples": [
            [index[s.task_id], s.sample_index, s.completion, r.cause or r.verdict, r.detail]
            for s, r in zip(samples, rows, strict=True)
        ],
    }
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
