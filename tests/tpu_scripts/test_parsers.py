"""Every command that the scripts print, parsed by the real gcloud where it is installed.

Elsewhere a table of flags stands in for it, made from gcloud 528's parser and held against it.
"""

import json
import pathlib
import shlex
import shutil
import subprocess

import pytest

from .conftest import ROOT, WHERE

# "compute tpus …": flags accepted, and which of them need a value.
FLAGS = {
    "queued-resources create": """--node-id= --node-count= --node-prefix= --accelerator-type=
        --runtime-version= --labels= --spot --reserved --network= --subnetwork=
        --service-account=""",
    "queued-resources describe": "--format=",
    "queued-resources delete": "--force --quiet",
    "queued-resources list": "--filter= --format=",
    "queued-resources ssh": "--node= --worker= --command=",
    "queued-resources scp": "--node= --worker= --recurse",
    "tpu-vm describe": "--format=",
    "tpu-vm list": "--format=",
}
EVERYWHERE = ["--zone=", "--project="]
LAUNCH = ["--type=v5p-256", "--bucket=bkt", "--env=A=1", "train", "a.gin"]
COMMANDS = [
    ("create.sh", ["--type=v4-8", "--spot=yes", "--network=n", "--subnetwork=s"]),
    ("create.sh", ["--type=v4-8", "--reserved=yes", "--slices=2", "--service-account=a@b.c"]),
    ("launch.sh", LAUNCH),
    ("launch.sh", ["--slices=2", "--spot=yes", *LAUNCH]),
    ("attach.sh", []),
    ("stop.sh", []),
    ("list.sh", []),
]


def sdk() -> pathlib.Path | None:
    program = shutil.which("gcloud")
    root = pathlib.Path(program).resolve().parents[1] if program else None
    return root if root and (root / "lib" / "googlecloudsdk").is_dir() else None


def parse(lines: list[list[str]]) -> list[str | None]:
    root = sdk()
    if not root:
        pytest.skip("gcloud is not installed: only the table of flags is held")
    bundled = root / "platform" / "bundledpythonunix" / "bin" / "python3"
    python = bundled if bundled.exists() else shutil.which("python3")
    script = pathlib.Path(__file__).with_name("parse_gcloud.py")
    done = subprocess.run(
        [python, script, root], input=json.dumps(lines), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def printed() -> list[list[str]]:
    """The words of every gcloud command that the scripts print."""
    lines = []
    for script, flags in COMMANDS:
        command = [ROOT / "tpu_scripts" / script, *WHERE, "--project=p", "--dry-run", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines += [shlex.split(line) for line in done.stdout.splitlines()]
    return [words[1:] for words in lines if words[0] == "gcloud"]


def test_the_real_gcloud_accepts_every_command(printed):
    assert {tuple(words[2:4]) for words in printed} == {tuple(key.split()) for key in FLAGS}
    errors = parse(printed)
    assert [(words, error) for words, error in zip(printed, errors, strict=True) if error] == []


def test_the_real_gcloud_refuses_what_is_wrong():
    create = shlex.split("compute tpus queued-resources create a --zone=z --accelerator-type=v4-8")
    wrong = [
        [*create, "--node-id=a", "--runtime-version=r", "--spott"],
        [*create, "--node-id=a", "--node-count=2", "--runtime-version=r"],
        [*create, "--node-id=a"],
    ]
    assert all(parse(wrong))


def test_the_table_holds_every_command(printed):
    for words in printed:
        accepted = [*FLAGS[" ".join(words[2:4])].split(), *EVERYWHERE]
        for word in words[4:]:
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                assert name + equals in accepted, words
                assert bool(equals) == bool(value), words


def test_the_table_is_gcloud_s():
    names = {
        "queued-resources create": ["a", "--node-id=a", "--accelerator-type=t"],
        "queued-resources scp": ["a", "b:"],
        "queued-resources list": [],
        "tpu-vm list": [],
        "queued-resources ssh": ["a", "--command=c"],
    }
    needed = {"queued-resources create": ["--runtime-version=r"]}
    lines = []
    for command, flags in FLAGS.items():
        for flag in [*flags.split(), *EVERYWHERE]:
            words = ["compute", "tpus", *command.split(), *names.get(command, ["a"])]
            words += [word for word in needed.get(command, []) if not word.startswith(flag)]
            if flag == "--node-count=" or flag == "--node-prefix=":
                words = [word for word in words if word != "--node-id=a"]
                words += ["--node-count=2"] if flag == "--node-prefix=" else []
            value = {"--labels=": "a=b", "--node-count=": "2"}.get(flag, "v" if "=" in flag else "")
            lines.append([*words, "--zone=z", flag + value])
    errors = parse(lines)
    assert [(words, error) for words, error in zip(lines, errors, strict=True) if error] == []
