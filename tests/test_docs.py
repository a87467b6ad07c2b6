"""README.md and docs/ are held against the tree, the command line and the import table."""

import ast
import inspect
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import codex_jax as cj
from codex_jax.main.commands import COMMANDS, select_command
from tests import import_table
from tests.test_architecture import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS]
# command: its page, where the page isn't named after the command's first word
PAGE_OF = {"quickstart": "tutorial", "goodput": "train", "import": "convert", "export": "convert"}


def page_name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: pathlib.Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    pattern = r"^```(\w*)\n(.*?)^```$"
    fences = re.findall(pattern, path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in fences if language in languages]


def command_name(line: str) -> str:
    return select_command(line.split()[1:])[0].name


def tracked_files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    process = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if process.returncode:
        pytest.skip("not a git checkout: no list of files to hold the tree against")
    return process.stdout.splitlines()


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_command_is_accepted(path, configured, commands_in):
    for block in blocks(path, "sh", "console"):
        for command in commands_in(block):
            assert configured(command), command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_on_its_page(name, commands_in):
    first = name.split()[0]
    page = ROOT / "docs" / f"{PAGE_OF.get(first, first)}.md"
    lines = [line for block in blocks(page, "sh") for line in commands_in(block)]
    assert name in map(command_name, lines), f"{page} has no example of {name}"


@pytest.mark.parametrize("path", [README, ROOT / "docs" / "python.md"], ids=page_name)
def test_python_examples_fit_the_interface(path):
    examples = blocks(path, "python")
    assert examples
    for node in ast.walk(ast.parse("\n".join(examples))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = getattr(node.func.value, "id", "")
        if owner in ("cj", "model"):
            function = getattr(cj if owner == "cj" else cj.Model, node.func.attr)
            keywords = {keyword.arg: None for keyword in node.keywords}
            arguments = node.args if owner == "cj" else [None, *node.args]
            inspect.signature(function).bind(*arguments, **keywords)


def test_the_readme_lists_every_command_with_its_page():
    rows = re.findall(
        r"^\| `codex-jax ([\w ]+)` \|.*\(docs/(\w+)\.md\) \|$", README.read_text(), re.MULTILINE
    )
    firsts = {name: name.split()[0] for name in COMMANDS}
    assert dict(rows) == {name: PAGE_OF.get(first, first) for name, first in firsts.items()}


def test_the_readme_is_short():
    assert README.read_text().count("\n") <= 150


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_and_pictures_exist(path):
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", path.read_text("utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_scripts_that_are_named_exist(path):
    text = path.read_text("utf-8")
    if path.name == "CHANGELOG.md":
        pytest.skip("it also names files of former versions")
    names = re.findall(r"\b((?:benchmarks|tests|gin_configs|tpu_scripts)/[\w/]+\.\w+)", text)
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_benchmarks_of_the_readme_have_the_flags_it_names():
    for script, words in re.findall(
        r"`[^`]*python (benchmarks/\w+\.py)([^`]*)`", README.read_text()
    ):
        command = [sys.executable, script, "--help"]
        help_text = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=ROOT
        ).stdout
        for flag in re.findall(r"--\w+", words):
            assert re.search(rf"{flag}\b", help_text), f"{script} has no {flag}"


def test_every_tpu_script_is_shown_and_its_flags_are_accepted():
    text = "".join(blocks(ROOT / "docs" / "pods.md", "sh")).replace("\\\n", " ")
    lines = re.findall(r"^(tpu_scripts/\w+\.sh) (.*)$", text, re.MULTILINE)
    scripts = {f"tpu_scripts/{p.name}" for p in (ROOT / "tpu_scripts").glob("*.sh")}
    unseen = {"tpu_scripts/lib.sh", "tpu_scripts/host.sh"}
    assert {script for script, _ in lines} == scripts - unseen
    for script, words in lines:
        command = [ROOT / script, "--dry-run", *words.split()]
        process = subprocess.run(command, check=False, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr


def test_the_two_commands_are_targets_and_ci_runs_the_second():
    first, second = blocks(README, "sh")[0].split("\n")[:2]
    assert [first, second] == ["make quickstart", "make test"]
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in ci if not line.startswith("#")] == [f"exec {second}"]


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:^|`)make (\w+)", path.read_text("utf-8"), re.MULTILINE)
    assert set(named) <= targets


def test_the_extras_named_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "contributing.md").read_text()
    sentence = re.search(r"The extras are (.*?)\.\n", page, re.DOTALL).group(1)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(project["optional-dependencies"])


def test_the_tree_is_the_tree():
    page = ROOT / "docs" / "architecture.md"
    (block,) = [text for text in blocks(page, "") if "\ncodex_jax/ " in text]
    shown, top = set(), ""
    for line in block.splitlines():
        name = line.split()[0].rstrip("/")
        top = top if line.startswith(" ") else name
        shown.add(name if name == top else f"{top}/{name}")
    parts = [pathlib.Path(file).parent.parts for file in tracked_files()]
    folders = {"/".join(p[:depth]) for p in parts for depth in (1, 2) if len(p) >= depth}
    assert shown == {folder for folder in folders if not folder.startswith(".")}


def test_the_import_table_is_the_table():
    page = import_table.PAGE.read_text("utf-8")
    assert page == import_table.insert(page), "run python -m tests.import_table"


def test_every_page_is_in_the_navigation():
    navigation = set(re.findall(r"- (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert navigation == {path.name for path in DOCS}


def test_the_citation_has_the_version():
    assert f"version: {cj.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs-material is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    process = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "tutorial" / "index.html").exists()
    pages = "".join(path.read_text("utf-8") for path in tmp_path.rglob("*.html"))
    assert "fonts.googleapis" not in pages, "the site must not need a network"
