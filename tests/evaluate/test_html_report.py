"""The page: whole, free of the network, safe to show hostile samples in, and quick."""

import json
import re
import resource
import shutil
import subprocess

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.report import plots
from codex_jax.evaluate.report.html_report import read_metrics, write_report


def files(folder, *, problems=3, samples=4, completion="    return '</script><b>&'\n"):
    tasks = [
        records.Problem(
            task_id=f"p/{i}",
            prompt=f"def f{i}():\n",
            entry_point=f"f{i}",
            test="def check(c): pass",
            extra={"blocks": 1 + i % 5},
        )
        for i in range(problems)
    ]
    rows = [(task.task_id, s) for task in tasks for s in range(samples)]
    records.write_jsonl(folder / "problems.jsonl", tasks)
    records.write_jsonl(
        folder / "completions.jsonl",
        [records.Completion(task_id=t, sample_index=s, completion=completion) for t, s in rows],
    )
    records.write_jsonl(
        folder / "verdicts.jsonl",
        [
            records.Verdict(
                task_id=t,
                sample_index=s,
                verdict="failed" if s % 2 else "passed",
                cause="wrong_answer" if s % 2 else "passed",
                isolation="gvisor",
            )
            for t, s in rows
        ],
    )
    lines = [json.dumps({"step": i, "loss": 5 / (i + 1)}) for i in range(50)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    names = ("problems", "completions", "verdicts", "metrics")
    return {name: str(folder / f"{name}.jsonl") for name in names}


def browse(page, *flags: str) -> str:
    """The page as headless Chromium sees it once its script has run."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no chromium on PATH")
    command = [binary, "--headless", "--no-sandbox", "--disable-gpu", *flags, f"file://{page}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_the_page_is_whole_and_needs_no_other_file(tmp_path):
    page = tmp_path / "report.html"
    write_report(output=str(page), **files(tmp_path))
    text = page.read_text()
    assert "{{" not in text
    assert text.count("<svg") == 3  # the loss, pass@k over k and by blocks
    assert not re.search(r"""(src|href)=["'](?!#)""", text)
    assert "https:" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert "50.0 %" in text
    assert "gvisor" in text


def test_methods_are_plotted_by_blocks(tmp_path):
    page, paths = tmp_path / "report.html", files(tmp_path)
    search = tmp_path / "search"
    search.mkdir()
    rows = list(records.read_jsonl(paths["verdicts"], records.Verdict))
    records.write_jsonl(search / "verdicts.jsonl", rows[::2])
    write_report(output=str(page), **paths, others=(str(search / "verdicts.jsonl"),))
    text = page.read_text()
    assert "by the number of blocks and by method" in text
    assert ">search</text>" in text
    assert f">{tmp_path.name}</text>" in text
    records.write_jsonl(search / "verdicts.jsonl", [])
    with pytest.raises(InputError, match="no verdicts on problems with blocks; set others to"):
        write_report(output=str(page), **paths, others=(str(search / "verdicts.jsonl"),))


def test_two_files_of_a_folder_are_two_methods_and_one_file_twice_is_refused(tmp_path):
    page, paths = tmp_path / "report.html", files(tmp_path)
    rows = list(records.read_jsonl(paths["verdicts"], records.Verdict))
    others = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    for path in others:
        records.write_jsonl(path, rows[::2])
    write_report(output=str(page), **paths, others=others)
    assert all(f">{path}</text>" in page.read_text() for path in (*others, paths["verdicts"]))
    same = f"{tmp_path}/../{tmp_path.name}/a.jsonl"
    for repeated in ([*others, same], [paths["verdicts"]]):
        with pytest.raises(InputError, match=r"verdicts and others has .* twice; set it to"):
            write_report(output=str(page), **paths, others=repeated)


@pytest.mark.parametrize("ks", [(1, 1), (0,)])
def test_a_list_of_k_that_is_none_is_refused(tmp_path, ks):
    with pytest.raises(InputError, match="ks"):
        write_report(output=str(tmp_path / "report.html"), **files(tmp_path), ks=ks)
    assert not (tmp_path / "report.html").exists()


def test_hostile_samples_stay_text(tmp_path):
    page = tmp_path / "report.html"
    hostile = "    x = '</script><script>document.title = \"taken\"</script>'\n"
    write_report(output=str(page), **files(tmp_path, completion=hostile), title="<b>mine")
    assert page.read_text().count("</script>") == 2
    seen = browse(page, "--dump-dom")
    assert "<title>&lt;b&gt;mine</title>" in seen
    assert "taken" in seen


def test_a_lone_surrogate_is_replaced(tmp_path):
    page = tmp_path / "report.html"
    write_report(output=str(page), **files(tmp_path, completion="    return '\ud800'\n"))
    assert "return '?'" in page.read_text(encoding="utf-8")


def test_twenty_thousand_samples_load_at_once(tmp_path):
    page = tmp_path / "report.html"
    paths = files(tmp_path, problems=100, samples=200, completion="    return 1\n" * 20)
    write_report(output=str(page), **paths)
    script = (
        "<script>document.querySelector('[data-cause=wrong_answer]').click();"
        "document.title = state.shown.length + ' ' + list.querySelectorAll('.row').length"
        " + ' ' + [...document.querySelectorAll('figure svg')].filter("
        "f => f.getBoundingClientRect().width > 300 && f.querySelectorAll('path').length > 9)"
        ".length"
        "</script></body>"
    )
    page.write_text(page.read_text().replace("</body>", script))
    empty = tmp_path / "empty.html"
    empty.write_text("<!doctype html>")
    start = cpu_s()
    browse(empty, "--dump-dom")
    started = cpu_s()
    seen = browse(page, "--dump-dom")
    shown, rows, plots = re.search(r"<title>(\d+) (\d+) (\d+)</title>", seen).groups()
    assert shown == "10000"
    assert plots == "3"
    assert 10 < int(rows) < 100
    # CPU seconds beyond the browser's own: a busy machine is not the page's fault.
    assert cpu_s() - started - (started - start) < 2


def test_running_mean_of_a_constant_is_the_constant():
    assert plots.running_mean([3.0] * 40, share=0.1) == pytest.approx([3.0] * 40)
    assert plots.running_mean([1.0, float("nan"), 1.0], share=1) == pytest.approx([1.0, 1.0, 1.0])


def test_a_completion_without_a_verdict_is_one_line(tmp_path):
    paths = files(tmp_path)
    lines = (tmp_path / "verdicts.jsonl").read_text().splitlines(True)[:-2]
    (tmp_path / "verdicts.jsonl").write_text("".join(lines))
    with pytest.raises(InputError, match=r"no verdict for 2 completions, the first being of p/2"):
        write_report(output=str(tmp_path / "r.html"), **paths)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("", "empty"),
        ('{"step": 1, "loss": 2}\n{"step": 2}\n', ":2: expected"),
        ('{"step": 1e999, "loss": 2}\n', ":1: expected"),
        ("[" * 100_000, ":1: expected"),
    ],
)
def test_bad_metrics_are_one_line(tmp_path, content, message):
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_metrics(str(path))


def test_validation_is_plotted_by_task():
    line = {"loss": 1.0, "validation/loss": 2.0, "validation/bits_per_byte": 1.5}
    line |= {"validation/lines/bits_per_byte": 1.25, "validation/empty/bits_per_byte": float("nan")}
    curves = plots.validation_curves([{"step": 1, "loss": 2.0}, {"step": 2, **line}])
    assert "all: 1.500" in curves
    assert "lines: 1.250" in curves
    assert "empty" not in curves
    assert plots.validation_curves([{"step": 1, "loss": 2.0}]) == ""


def test_a_selection_of_other_samples_is_refused(tmp_path):
    evidence = [{"sample_index": 9, "examples": 1.0, "crashed": False, "behavior": 0}]
    row = records.Completion(task_id="p/0", completion="", extra={"evidence": evidence})
    records.write_jsonl(tmp_path / "selection.jsonl", [row])
    output = str(tmp_path / "report.html")
    selected = str(tmp_path / "selection.jsonl")
    with pytest.raises(InputError, match="sample 9 has no verdict; set selected"):
        write_report(output=output, selected=selected, **files(tmp_path))


def test_methods_in_folders_of_one_name_have_a_line_each(tmp_path):
    own = files(tmp_path)
    others = []
    for name in ("_a$b$", "c"):
        (tmp_path / name / "judged").mkdir(parents=True)
        others.append(str(shutil.copy(own["verdicts"], tmp_path / name / "judged")))
    write_report(output=str(tmp_path / "report.html"), others=others, **own)
    page = (tmp_path / "report.html").read_text()
    assert all(f"{name}/judged" in page for name in ("_a$b$", "c"))
