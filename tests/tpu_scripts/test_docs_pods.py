"""docs/pods.md: the output shown is the real output, and the commands in it are accepted.

`python -m tests.tpu_scripts.test_docs_pods` writes the output into the page.
"""

import re
import shlex
import subprocess

import pytest

from .conftest import ROOT

PAGE = ROOT / "docs" / "pods.md"
EXAMPLE = re.compile(r"^```console\n\$ (.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)


def print_commands(line: str) -> str:
    """The output of a --dry-run, free of what differs from tree to tree."""
    done = subprocess.run(
        shlex.split(line),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    head = ["git", "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    return done.stdout.replace(commit.strip(), "COMMIT").replace(f"git -C {ROOT}", "git -C .")


def examples() -> list[tuple[str, str]]:
    return EXAMPLE.findall(PAGE.read_text())


@pytest.mark.parametrize(("line", "output"), examples())
def test_the_output_shown_is_the_real_one(line, output):
    assert print_commands(line) == output


@pytest.mark.parametrize("line", [line for line, _ in examples() if "launch.sh" in line])
def test_the_command_launched_is_accepted(configured, line):
    command = line.split("--dry-run ")[1]
    assert configured(f"codex-jax {command}")


def test_every_script_has_a_row():
    rows = set(re.findall(r"^\| `(\w+\.sh)` \|", PAGE.read_text(), re.MULTILINE))
    scripts = {path.name for path in (ROOT / "tpu_scripts").glob("*.sh")}
    assert rows == scripts - {"launch.sh", "gke.sh", "lib.sh"}


def test_the_status_of_a_preempted_run_is_the_scripts_one():
    assert "**Exit status 75**" in PAGE.read_text()
    assert "ended-75" in (ROOT / "tpu_scripts" / "launch.sh").read_text()


if __name__ == "__main__":
    text = EXAMPLE.sub(
        lambda match: f"```console\n$ {match[1]}\n{print_commands(match[1])}```", PAGE.read_text()
    )
    PAGE.write_text(text)
