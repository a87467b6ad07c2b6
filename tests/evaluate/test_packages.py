"""Packages that programs may import: by setting only, in both modes, and as a part of the key."""

import sys

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.languages import registry, spec
from codex_jax.evaluate.sandbox import packages, protocol
from tests.evaluate.pythons import need_own_packages

TOTAL = "import numpy as np\n\ndef total(n):\n    return int(np.arange(n).sum()) + {wrong}\n"
TEST = "def check(candidate):\n    assert candidate(4) == 6\n"


def rows(folder, **settings) -> list[records.Verdict]:
    """Verdicts on a right and a wrong program, judged outside and in-process."""
    outside = records.Problem(task_id="t", prompt="", entry_point="total", test=TEST)
    extra = {"language": "python", "mode": "in-process"}
    inside = records.Problem(task_id="u", prompt="", test="assert total(4) == 6\n", extra=extra)
    tasks = [outside] if registry.absence("python", "") else [outside, inside]
    records.write_jsonl(folder / "p.jsonl", tasks)
    samples = [
        records.Completion(task_id=task.task_id, completion=TOTAL.format(wrong=n), sample_index=n)
        for task in tasks
        for n in (0, 1)
    ]
    records.write_jsonl(folder / "c.jsonl", samples)
    files = {name: str(folder / f"{name[0]}.jsonl") for name in ("problems", "completions")}
    evaluate(**files, output=str(folder / "out"), sandbox="bubblewrap", ks=(1,), **settings)
    found = records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict)
    latest = {(row.task_id, row.sample_index): row for row in found}
    return [latest[key] for key in sorted(latest)]


def system_minor_version() -> tuple[int, ...]:
    """The version of the Python that runs tests beside a program."""
    number = registry.tool_version("python").removeprefix("Python ")
    return tuple(int(part) for part in number.split(".")[:2])


def test_numpy_is_importable_by_setting_and_verdicts_depend_on_it(tmp_path):
    need_own_packages()
    before = rows(tmp_path)
    assert {row.cause for row in before} == {"exception"}
    message = "No module named 'numpy'; set packages to numpy"
    assert all(row.detail.endswith(message) for row in before)
    outside, beside = (after := rows(tmp_path, packages=("numpy",)))[:2], after[2:]
    assert [row.cause for row in outside] == ["passed", "wrong_answer"]
    if beside and system_minor_version() != sys.version_info[:2]:  # numpy is this Python's
        assert {row.verdict for row in beside} == {"left out"}
    else:
        assert [row.cause for row in beside] == ["passed", "wrong_answer"][: len(beside)]


def test_a_package_is_named_with_its_version():
    pytest.importorskip("numpy")
    (description,) = packages.describe(["numpy", "numpy"])
    assert packages.describe("numpy") == (description,)
    name, version = description.split()
    assert name == "numpy"
    assert version[0].isdigit()
    assert packages.sources([description])["/packages/numpy"].endswith("/numpy")


@pytest.mark.parametrize("name", ["no_such_package", "sys", "../x", "a b"])
def test_what_is_no_package_is_one_line(name):
    with pytest.raises(InputError, match=r"packages: .* is not installed here; expected names"):
        packages.describe([name])


def test_a_module_of_one_file_is_that_file(tmp_path, monkeypatch):
    (tmp_path / "lonely.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    (description,) = packages.describe(["lonely"])
    assert packages.sources([description]) == {"/packages/lonely.py": f"{tmp_path}/lonely.py"}


def test_the_driver_of_programs_in_process_looks_in_the_same_folder():
    """It runs in a Python that has none of our modules."""
    driver = (spec.DRIVERS / "driver.py").read_text()
    assert f'sys.path.append("{protocol.PACKAGES}")' in driver
