"""The scripts for TPUs, against a gcloud of our own that notes how it was called."""

import pathlib
import shlex
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = sorted(p for p in (ROOT / "tpu_scripts").glob("*.sh") if p.name != "flags.sh")
WHERE = ["--name=pod", "--zone=us-central2-b"]
EXTRA = {"create.sh": ["--type=v5litepod-16"], "run.sh": ["train", "a.gin", "--steps=5"]}

GCLOUD = """#!/usr/bin/env bash
printf '%s\\n' "${*@Q}" >> "$CALLS"
case " $* " in
    *" describe "*state.state*)
        head -1 "$STATES"
        sed -i '1{$!d}' "$STATES"
        ;;
    *networkEndpoints*) echo 2 ;;
    *" ssh "*) exit "${SSH_STATUS:-0}" ;;
esac
"""


class Cloud:
    """Runs scripts with the false gcloud first on PATH."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        (folder / "bin").mkdir()
        gcloud = folder / "bin" / "gcloud"
        gcloud.write_text(GCLOUD)
        gcloud.chmod(0o755)
        self.environment = {
            "PATH": f"{gcloud.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "CALLS": str(folder / "calls"),
            "STATES": str(folder / "states"),
        }

    def run(self, script: str, *flags: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [ROOT / "tpu_scripts" / script, *flags],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            cwd=self.folder,
        )

    def calls(self) -> list[list[str]]:
        path = self.folder / "calls"
        return (
            [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []
        )


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def names(scripts):
    return [script.name for script in scripts]


@pytest.mark.parametrize("script", names(SCRIPTS))
def test_help_tells_the_flags(cloud, script):
    done = cloud.run(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{script} --name=N --zone=Z")
    assert "--dry-run" in done.stdout
    assert "#" not in done.stdout


@pytest.mark.parametrize("script", names(SCRIPTS))
def test_dry_run_prints_what_the_real_run_calls(cloud, script):
    flags = [*WHERE, "--project=p", *EXTRA.get(script, [])]
    words = [*flags[:3], "--dry-run", *flags[3:]]
    dry = cloud.run(script, *words)
    assert dry.returncode == 0, dry.stderr
    assert cloud.calls() == []
    shown = [shlex.split(line) for line in dry.stdout.splitlines()]
    (cloud.folder / "states").write_text("ACTIVE\n")
    real = cloud.run(script, *flags)
    assert real.returncode == 0, real.stderr
    called = [["gcloud", *call] for call in cloud.calls()]
    assert called
    wanted = [words for words in shown if words[0] == "gcloud"]
    # A dry run can't know how many workers there are, and shows the first.
    assert called[: len(wanted)] == wanted
    assert all("--zone=us-central2-b" in call and "--project=p" in call for call in called)


@pytest.mark.parametrize("script", names(SCRIPTS))
@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--zone=z"], "--name is not set; see --help"),
        (["--name=n"], "--zone is not set; see --help"),
        (["--name=n", "--zon=z"], "no flag --zon; see --help"),
        (["--name=n", "--zone="], "--zone has no value; write --zone=VALUE"),
    ],
)
def test_bad_flags_are_one_line_and_status_2(cloud, script, flags, line):
    done = cloud.run(script, *flags)
    assert (done.returncode, done.stderr) == (2, f"{script}: {line}\n")
    assert cloud.calls() == []


def test_create_knows_the_image_of_each_type(cloud):
    for kind, runtime in [
        ("v4-32", "tpu-ubuntu2204-base"),
        ("v5litepod-16", "v2-alpha-tpuv5-lite"),
        ("v5p-8", "v2-alpha-tpuv5"),
        ("v6e-64", "v2-alpha-tpuv6e"),
    ]:
        cloud.run("create.sh", *WHERE, f"--type={kind}")
        assert cloud.calls()[-1] == [
            *("compute", "tpus", "queued-resources", "create", "pod", "--node-id=pod"),
            *(f"--accelerator-type={kind}", f"--runtime-version={runtime}"),
            "--zone=us-central2-b",
        ]
    assert (
        "--spot" in cloud.run("create.sh", *WHERE, "--type=v4-8", "--spot=yes", "--dry-run").stdout
    )
    done = cloud.run("create.sh", *WHERE, "--type=v99-8")
    assert done.stderr == "create.sh: --type=v99-8: no runtime known for it; set --runtime\n"
    done = cloud.run("create.sh", *WHERE, "--type=v99-8", "--runtime=mine")
    assert "--runtime-version=mine" in cloud.calls()[-1]


def test_wait_follows_the_states(cloud):
    (cloud.folder / "states").write_text(
        "ACCEPTED\nWAITING_FOR_RESOURCES\nWAITING_FOR_RESOURCES\nPROVISIONING\nACTIVE\n"
    )
    done = cloud.run("wait.sh", *WHERE, "--every=0.01")
    assert done.returncode == 0
    assert done.stdout.split() == [
        *("pod:", "ACCEPTED", "pod:", "WAITING_FOR_RESOURCES"),
        *("pod:", "PROVISIONING", "pod:", "ACTIVE"),
    ]
    assert len(cloud.calls()) == 5


@pytest.mark.parametrize("state", ["FAILED", "SUSPENDING", "SUSPENDED"])
def test_wait_gives_up_where_there_is_no_hope(cloud, state):
    (cloud.folder / "states").write_text(f"PROVISIONING\n{state}\n")
    done = cloud.run("wait.sh", *WHERE, "--every=0.01")
    assert done.returncode == 1
    assert "pod will not become ACTIVE" in done.stderr


def test_wait_gives_up_in_time(cloud):
    (cloud.folder / "states").write_text("WAITING_FOR_RESOURCES\n")
    done = cloud.run("wait.sh", *WHERE, "--timeout=0")
    assert (done.returncode, done.stdout) == (1, "pod: WAITING_FOR_RESOURCES\n")


def test_setup_copies_the_commit_and_makes_the_pinned_environment(cloud):
    head = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    assert cloud.run("setup.sh", *WHERE).returncode == 0
    copied, remote = cloud.calls()
    assert copied[2:6] == [
        *("tpu-vm", "scp", f"{cloud.folder}/codex_jax-{commit}.tar.gz", "pod:"),
    ]
    assert "--worker=all" in copied and "--worker=all" in remote
    command = next(word for word in remote if word.startswith("--command="))
    assert "make install EXTRAS=tpu" in command
    assert f"tar -xzf codex_jax-{commit}.tar.gz -C codex_jax" in command
    assert not list(cloud.folder.glob("*.tar.gz"))


def test_setup_s_remote_command_is_true_shell(cloud):
    """The command that the hosts get, run here on the archive that they get."""
    dry = cloud.run("setup.sh", *WHERE, "--dry-run").stdout.splitlines()
    archive, remote = shlex.split(dry[0]), shlex.split(dry[2])
    subprocess.run(archive, check=True)
    command = next(w for w in remote if w.startswith("--command=")).removeprefix("--command=")
    make = cloud.folder / "bin" / "make"
    make.write_text('#!/bin/sh\necho "$PWD: make $*"\n')
    make.chmod(0o755)
    (cloud.folder / "bin" / "python3.11").symlink_to(make)
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        cwd=cloud.folder,
        env=cloud.environment,
    )
    assert done.stdout == f"{cloud.folder}/codex_jax: make install EXTRAS=tpu\n", done.stderr
    assert (cloud.folder / "codex_jax" / "codex_jax" / "main" / "cli.py").is_file()


def test_run_quotes_the_verb_s_flags_for_the_hosts(cloud):
    value = """--corpus={"a": "it's"}"""
    assert cloud.run("run.sh", *WHERE, "data", value, "--dry_run").returncode == 0
    command = next(w for w in cloud.calls()[0] if w.startswith("--command="))
    program = cloud.folder / "codex_jax" / ".venv" / "bin" / "codex-jax"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nfor word; do echo "<$word>"; done\nexit 3\n')
    program.chmod(0o755)
    shell = ["bash", "-c", command.removeprefix("--command=")]
    done = subprocess.run(shell, capture_output=True, text=True, cwd=cloud.folder)
    assert done.stdout.splitlines() == ["<data>", f"<{value}>", "<--dry_run>"]
    assert done.returncode == 3
    assert (cloud.folder / "codex_jax" / "logs" / "data.log").read_text() == done.stdout


def test_run_ends_with_the_hosts_status(cloud):
    assert cloud.run("run.sh", *WHERE, "train", SSH_STATUS="7").returncode == 7
    assert cloud.run("run.sh", *WHERE).stderr == "run.sh: no verb; see --help\n"


def test_logs_come_from_every_worker(cloud):
    assert cloud.run("logs.sh", *WHERE).returncode == 0
    fetched = [call for call in cloud.calls() if "scp" in call]
    assert [call[-2] for call in fetched] == ["--worker=0", "--worker=1"]
    assert (cloud.folder / "logs" / "pod" / "worker-1").is_dir()
    cloud.run("logs.sh", *WHERE, "--workers=3", "--into=other")
    assert (cloud.folder / "other" / "pod" / "worker-2").is_dir()


def test_stray_words_are_refused(cloud):
    done = cloud.run("delete.sh", *WHERE, "now")
    assert (done.returncode, done.stderr) == (2, "delete.sh: now: what is that? see --help\n")


def test_delete_forces_and_asks_nothing(cloud):
    assert cloud.run("delete.sh", *WHERE).returncode == 0
    assert cloud.calls()[0][2:7] == ["queued-resources", "delete", "pod", "--force", "--quiet"]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    scripts = [*(ROOT / "tpu_scripts").glob("*.sh"), ROOT / ".ci" / "run", ROOT / ".ci" / "venv"]
    done = subprocess.run(["shellcheck", "-x", *scripts], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == ""
