"""Requirements of a package's tests, and folders they are installed into."""

import pytest

from codex_jax.curate.packages.archives import Archive
from codex_jax.curate.traces import environments

PYPROJECT = """
[dependency-groups]
test = ["freezegun", "pytest-cov", {include-group = "docs"}]
[project.optional-dependencies]
docs = ["sphinx"]
"""
REQUIRES = (
    "attrs",
    'tomli; python_version < "3.11"',
    'pretend; extra == "test"',
    'mypy; extra == "test"',
    'whatever; (python_version > "3.8") and extra == "testing"',
    'sphinx; extra == "docs"',
)


def test_requirements_of_tests():
    archive = Archive("p", "1", "", {}, REQUIRES, PYPROJECT)
    own, tests = environments.requirements(archive)
    assert own == ["attrs", 'tomli; python_version < "3.11"']
    assert tests == ["pretend", "freezegun", 'whatever; (python_version > "3.8")']


def test_dev_extras_stand_in_for_tests():
    archive = Archive("p", "1", "", {}, ('hypothesis; extra == "dev"', 'tox; extra == "dev"'))
    assert environments.requirements(archive) == ([], ["hypothesis"])
    assert environments.requirements(Archive("p", "1", "", {}, (), "not [toml")) == ([], [])


def test_what_cannot_be_installed_is_named(tmp_path, monkeypatch):
    tried = []

    def pip(texts, folder):
        assert folder == tmp_path
        tried.append(list(texts))
        return "broken" not in texts and "p==1" not in texts

    monkeypatch.setattr(environments, "_pip", pip)
    archive = Archive("p", "1", "", {}, ('broken; extra == "test"', 'fine; extra == "test"'))
    assert environments.install(archive, tmp_path) == "broken, p==1"
    assert tried[0] == ["p==1", "broken", "fine", "pytest"]
    monkeypatch.setattr(environments, "_pip", lambda *_: True)
    assert environments.install(archive, tmp_path) == ""
    monkeypatch.setattr(environments, "_pip", lambda *_: False)
    assert environments.install(archive, tmp_path) == "pytest"


@pytest.mark.parametrize("name", ["no-such-package-of-anybody==999"])
def test_a_failed_installation_is_false(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert not environments._pip([name], tmp_path / "site")


@pytest.mark.parametrize(
    "text",
    [
        "evil @ file:///tmp/package",
        "evil@git+https://host/x",
        "--no-binary=:all:",
        "--index-url=https://host",
        ".",
        "./package",
        "/tmp/package",
        "package.tar.gz/..",
        "https://host/x.whl",
        "a; b @ c",
    ],
)
def test_what_isn_t_a_name_of_the_index_is_never_handed_to_pip(text, tmp_path, monkeypatch):
    monkeypatch.setattr(environments.subprocess, "run", lambda *_, **__: pytest.fail("pip ran"))
    assert not environments._pip([text], tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "numpy",
        "a-b_c.d==1.2",
        "x[y,z]>=1,<2; python_version < '3.12'",
        "x (>=1.0)",
        "x~=1.0 ; extra",
    ],
)
def test_names_with_versions_extras_and_markers_are(text):
    assert environments._FROM_INDEX.fullmatch(text)


@pytest.mark.parametrize(
    "text",
    ["project = 3\n", "[project]\noptional-dependencies = [1]\n", "dependency-groups = 'x'\n"],
)
def test_tables_that_are_none_have_no_requirements(text):
    archive = Archive("demo", "1.0", "MIT", {}, pyproject=text)
    assert environments.requirements(archive) == ([], [])
