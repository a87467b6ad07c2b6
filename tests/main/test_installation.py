"""The package away from its checkout, and without its extras."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from codex_jax.main import commands

ROOT = pathlib.Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]

# Refuses the packages named in ABSENT, as if they were not installed.
BLOCKER = """
import os, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in os.environ["ABSENT"].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from codex_jax.main.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(code, *words, folder, path=ROOT, **env):
    return subprocess.run(
        [sys.executable, "-P", *code, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path), **env},
    )


def test_an_installed_package_finds_its_gin_files(tmp_path):
    site = tmp_path / "site"
    shutil.copytree(ROOT / "codex_jax", site / "codex_jax")
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["force-include"].items():
        shutil.copytree(ROOT / source, site / target)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "mine.gin").write_text('include "quickstart/sample.gin"\n')
    flags = ["--checkpoint_dir=c", "--tokenizer=t", "--problems=p", "--dry_run"]
    for file in ("gin_configs/quickstart/sample.gin", "mine.gin"):
        words = ["-m", "codex_jax", "sample", file, *flags]
        done = run(words, folder=tmp_path / "empty", path=site)
        assert done.returncode == 0, done.stderr
        assert f"{site}/codex_jax/gin_configs/quickstart/sample.gin" in done.stdout


def test_the_table_of_extras_is_pyproject_s():
    listed = {
        extra: {re.split(r"[<>=\[;]", line)[0].replace("-", "_") for line in lines}
        for extra, lines in EXTRAS.items()
        if extra in commands._PACKAGES
    }
    listed["beam"] -= {"codex_jax"}
    imported = {extra: {*map(str.lower, each)} for extra, each in commands._PACKAGES.items()}
    assert imported == listed
    assert set(EXTRAS) - set(listed) == {"dev", "docs", "tpu"}


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_a_command_without_extras_works_or_names_one(name, tmp_path):
    done = run(
        ["-c", BLOCKER],
        *name.split(),
        "--help",
        folder=tmp_path,
        ABSENT=" ".join(commands._EXTRAS),
    )
    if done.returncode:
        extra = r"\w+ is not installed; pip install 'codex-jax\[(\w+)\]'\n"
        assert re.fullmatch(rf"codex-jax {name}: {extra}", done.stderr), done.stderr
    else:
        assert done.stdout.startswith("USAGE")
