"""BUILD is held against the import table, against the tree, and is run by Bazel where that is."""

import collections
import itertools
import pathlib
import re
import shutil
import subprocess
import tomllib

import pytest

from tests.test_architecture import ROOMS, ROOT, sources

# import name: name of the distribution, where they differ
PIP_NAMES = {
    "IPython": "ipython",
    "absl": "absl_py",
    "gin": "gin_config",
    "orbax": "orbax_checkpoint",
}


def glob(
    patterns: list[str], exclude: tuple[str, ...] = (), allow_empty: bool = False
) -> list[str]:
    """Bazel's glob: files of the tree, by patterns relative to it."""
    files = {p for pattern in patterns for p in ROOT.glob(pattern) if p.is_file()}
    excluded = {path for pattern in exclude for path in ROOT.glob(pattern)}
    files = sorted(str(path.relative_to(ROOT)) for path in files - excluded)
    assert files or allow_empty, f"{patterns} match nothing"
    return files


def targets() -> dict[str, dict[str, dict]]:
    """rule: name: arguments of every target, by running BUILD (Starlark is a subset of Python)."""
    rules = collections.defaultdict(dict)

    def collect(rule):
        def target(*, name, **arguments):
            assert name not in rules[rule], f"BUILD names {name} twice"
            rules[rule][name] = arguments

        return target

    names = {rule: collect(rule) for rule in ("py_library", "py_binary", "py_test")}
    names |= {"load": lambda *_: None, "package": lambda **_: None, "glob": glob}
    exec((ROOT / "BUILD").read_text(), names)
    return rules


TARGETS = targets()


def test_every_room_has_its_dependencies():
    libraries = TARGETS["py_library"]
    assert set(libraries) == {"codex_jax", *ROOMS}
    for room, (rooms, packages) in ROOMS.items():
        expected = [":codex_jax", *(f":{name}" for name in rooms)]
        expected += [f"@pip//{PIP_NAMES.get(name, name)}" for name in packages]
        assert sorted(libraries[room]["deps"]) == sorted(expected), f"BUILD: {room} differs"


def test_every_source_belongs_to_one_target():
    owners = collections.Counter(
        source
        for rule in ("py_library", "py_binary")
        for arguments in TARGETS[rule].values()
        for source in arguments["srcs"]
    )
    assert owners == {str(path.relative_to(ROOT)): 1 for path in sources()}


def test_every_data_file_of_the_package_belongs_to_a_room():
    listed = [f for arguments in TARGETS["py_library"].values() for f in arguments["data"]]
    files = {p for p in (ROOT / "codex_jax").rglob("*") if p.is_file()}
    files = {p for p in files if p.suffix not in (".py", ".pyc")}
    assert sorted(listed) == sorted(str(p.relative_to(ROOT)) for p in files)


def test_every_folder_and_file_of_tests_has_a_target():
    run = [a for arguments in TARGETS["py_test"].values() for a in arguments["args"]]
    tests = {p.relative_to(ROOT) for p in (ROOT / "tests").rglob("test_*.py")}
    assert sorted(run) == sorted({"/".join(p.parts[:2]) for p in tests})


def test_a_test_target_depends_on_the_room_it_is_named_after():
    for name, arguments in TARGETS["py_test"].items():
        room = name.removesuffix("_test")
        assert arguments["deps"][0] == (f":{room}" if room in ROOMS else ":main")
        assert arguments["args"][0] in [f"tests/{room}", f"tests/test_{room}.py"]
        assert "tests/run_pytest.py" in arguments["srcs"]


def test_the_module_reads_the_pinned_packages():
    module = (ROOT / "MODULE.bazel").read_text()
    assert 'requirements_lock = "//:constraints.txt"' in module
    python = re.search(r"Exact versions of everything.* Python (3\.\d+)", _constraints()).group(1)
    assert set(re.findall(r'python_version = "(.*)"', module)) == {python}


def test_every_dependency_is_pinned():
    pinned = re.findall(r"^([\w.-]+)==", _constraints(), re.MULTILINE)
    pinned = {re.sub(r"[-_.]+", "_", name).lower() for name in pinned}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.match(r"[\w.-]+", line).group() for line in itertools.chain(*lines)}
    names = {re.sub(r"[-_.]+", "_", name).lower() for name in names} - {"codex_jax"}
    labels = {d for a in TARGETS["py_library"].values() for d in a.get("deps", ()) if d[0] == "@"}
    names |= {label.removeprefix("@pip//") for label in labels}
    assert names <= pinned, f"constraints.txt has no line for {names - pinned}"


def _constraints() -> str:
    return (ROOT / "constraints.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["build //...", "test //:files_test"])
def test_bazel(command):
    if not shutil.which("bazel"):
        pytest.skip("bazel is not installed (Debian: bazel-bootstrap)")
    if not pathlib.Path(ROOT, ".venv", "bin", "python").exists():
        pytest.skip("no .venv here, whose interpreter Bazel would run")
    bazel = ["sh", ROOT / ".ci" / "bazel", *command.split()]
    process = subprocess.run(bazel, check=False, capture_output=True, text=True)
    output = process.stdout + process.stderr
    assert process.returncode == 0, output
    assert "Build completed successfully" in output
    assert ("1 test passes" in output) == command.startswith("test")
