"""The hosts: set up, run on, followed, stopped; host.sh is executed in each host's home folder."""

import pathlib
import shlex
import shutil
import subprocess
import time

import pytest

from .conftest import ROOT, WHERE

RUN = ["--checkpoint_dir=rows", "--steps=3"]
CONTAINED = """#!/bin/bash
trap 'exit 75' TERM
echo on
[ $1 = yes ] || exit 7
sleep 9 &
wait
"""
FOREVER = ["--checkpoint_dir=rows", "--steps=999999"]


@pytest.fixture
def pod(cloud):
    """Two hosts, set up."""
    cloud.activate()
    done = cloud.run("setup.sh", *WHERE)
    assert done.returncode == 0, done.stderr
    (cloud.folder / "calls").unlink()
    return cloud


def head() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def wait_until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("not within 100 s")


def log(cloud, worker: int) -> str:
    return (cloud.hosts / f"pod-{worker}" / "codex_jax_run" / "log").read_text()


def test_setup_puts_the_commit_on_every_host(pod):
    for worker in (0, 1):
        tree = pod.hosts / f"pod-{worker}" / "codex_jax"
        assert (tree / "codex_jax" / "main" / "cli.py").is_file()
        assert (tree / "COMMIT").read_text().strip() == head()
        assert not list(tree.parent.glob("*.tar.gz"))
    assert (pod.folder / "made").read_text() == (
        "make install EXTRAS=gcs,tpu PYTHON=/uv/python3.11\n" * 2
    )
    assert not list((pod.folder / "scratch").iterdir())


def test_setup_again_leaves_no_old_file_and_keeps_the_environment(pod):
    tree = pod.hosts / "pod-0" / "codex_jax"
    (tree / "codex_jax" / "stale.py").touch()
    (tree / ".venv" / "installed-marker").touch()
    assert pod.run("setup.sh", *WHERE).returncode == 0
    assert not (tree / "codex_jax" / "stale.py").exists()
    assert (tree / ".venv" / "installed-marker").exists()
    assert (tree.with_name("codex_jax.old") / "codex_jax" / "stale.py").exists()


def test_setup_names_the_files_it_leaves_behind(pod):
    copy = pod.folder / "copy"
    subprocess.run(["git", "init", "-q", copy], check=True)
    shutil.copytree(ROOT / "tpu_scripts", copy / "tpu_scripts")
    commit = shlex.split("-c user.name=a -c user.email=a@b.c commit -qm x")
    subprocess.run(["git", "-C", copy, "add", "."], check=True)
    subprocess.run(["git", "-C", copy, *commit], check=True)
    script = [copy / "tpu_scripts" / "setup.sh", *WHERE, "--dry-run"]
    settings = {"env": pod.environment, "capture_output": True, "text": True}
    assert subprocess.run(script, check=True, **settings).stderr == ""
    (copy / "mine.gin").touch()
    (copy / "tpu_scripts" / "lib.sh").open("a").write("\n")
    done = subprocess.run(script, check=True, **settings)
    assert done.stderr == (
        "setup.sh: 2 files that are not committed stay here: tpu_scripts/lib.sh mine.gin\n"
    )


def test_setup_refuses_under_a_run(pod):
    pod.run("run.sh", *WHERE, "train", *FOREVER)
    done = pod.run("setup.sh", *WHERE)
    assert done.returncode == 1
    assert "a run is under way: stop it first (stop.sh)" in done.stderr


def test_setup_waits_for_apt_and_mounts_the_bucket(cloud):
    cloud.activate(workers=1)
    for name in ("sudo", "gcsfuse"):
        cloud.program(name, f'#!/bin/sh\necho "{name} $*" >> "$CLOUD/root"\n')
    cloud.program("mountpoint", "#!/bin/sh\nexit 1\n")
    done = cloud.run("setup.sh", *WHERE, "--bucket=things")
    assert done.returncode == 0, done.stderr
    assert (cloud.folder / "root").read_text().splitlines() == [
        "sudo mkdir -p /gcs/things",
        "sudo chown 0 /gcs/things" if pathlib.Path("/root").owner() == "root" else "",
        "gcsfuse --implicit-dirs things /gcs/things",
    ]
    text = (ROOT / "tpu_scripts" / "host.sh").read_text()
    assert text.count("apt-get") == text.count("apt-get -o DPkg::Lock::Timeout=600") == 2


def test_run_goes_on_without_the_terminal_and_takes_flags_whole(pod):
    value = """--corpus={"a": "it's"}"""
    done = pod.run("run.sh", *WHERE, "--env=A=1,B=x y", "data", value, "--dry_run")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: "exit status 0" in log(pod, 1))
    for worker in (0, 1):
        lines = log(pod, worker).splitlines()
        assert lines[1:-1] == ["<data>", f"<{value}>", "<--dry_run>"]
    assert "A=1 B=x y CODEX_JAX_DISTRIBUTED=1" in log(pod, 0)


def test_a_second_run_is_refused_and_a_second_try_of_the_same_is_not(pod):
    assert pod.run("run.sh", *WHERE, "--attempt=1", "train", *FOREVER).returncode == 0
    wait_until(lambda: "<train>" in log(pod, 0))
    done = pod.run("run.sh", *WHERE, "train", *FOREVER)
    assert done.returncode == 1
    assert "a run is under way: CODEX_JAX_DISTRIBUTED=1 .venv/bin/codex-jax train" in done.stderr
    # gcloud tries an ssh whose connection broke again.
    assert pod.run("run.sh", *WHERE, "--attempt=1", "train", *FOREVER).returncode == 0
    assert log(pod, 0).count("<train>") == 1


def test_the_same_attempt_does_not_begin_again_after_its_end(pod):
    pod.run("run.sh", *WHERE, "--attempt=1", "train", *RUN)
    wait_until(lambda: "exit status 0" in log(pod, 0))
    assert pod.run("run.sh", *WHERE, "--attempt=1", "train", *RUN).returncode == 0
    assert log(pod, 0).count("<train>") == 1
    assert pod.run("run.sh", *WHERE, "--attempt=2", "train", *RUN).returncode == 0
    wait_until(lambda: log(pod, 0).count("<train>") == 2)


def test_run_wants_a_command_and_an_environment(pod):
    assert pod.run("run.sh", *WHERE).stderr == "run.sh: no command; see --help\n"
    done = pod.run("run.sh", *WHERE, "--env=A", "train")
    assert (done.returncode, done.stderr) == (2, "run.sh: --env: 'A': expected NAME=VALUE\n")


def test_run_without_a_tree_says_so(cloud):
    cloud.activate()
    done = cloud.run("run.sh", *WHERE, "train")
    assert done.returncode == 127
    assert "codex_jax/tpu_scripts/host.sh" in done.stderr


def test_attach_labels_each_line_and_ends_with_the_run_s_status(pod):
    pod.run("run.sh", *WHERE, "sample", "--status=3")
    done = pod.run("attach.sh", *WHERE)
    assert done.returncode == 3
    for worker in (0, 1):
        assert f"pod/worker-{worker}: <sample>" in done.stdout.splitlines()


def test_a_run_can_be_stopped_at_once(pod):
    assert pod.run("run.sh", *WHERE, "train", *FOREVER).returncode == 0
    for worker in (0, 1):
        child, group = (pod.hosts / f"pod-{worker}/codex_jax_run/pid").read_text().split()
        assert int(child) != int(group)
    done = pod.run("stop.sh", *WHERE)
    assert done.returncode == 0, done.stderr
    for worker in (0, 1):
        assert "exit status" in log(pod, worker)


def test_stop_lets_the_run_save(pod):
    pod.run("run.sh", *WHERE, "train", *FOREVER)
    wait_until(lambda: "<train>" in log(pod, 0) and "<train>" in log(pod, 1))
    assert pod.run("stop.sh", *WHERE).returncode == 0
    for worker in (0, 1):
        assert log(pod, worker).splitlines()[-2] == "saved"
        assert (pod.hosts / f"pod-{worker}/codex_jax_run/status").read_text() == "75\n"
    assert pod.run("stop.sh", *WHERE).returncode == 0  # nothing is there to stop


def test_stop_kills_what_does_not_listen(pod):
    deaf = "#!/bin/bash\ntrap '' TERM\nwhile sleep 0.1; do :; done\n"
    program = pod.hosts / "pod-0" / "codex_jax" / ".venv" / "bin" / "codex-jax"
    program.write_text(deaf)
    pod.run("run.sh", *WHERE, "train", *FOREVER)
    assert pod.run("stop.sh", *WHERE, "--grace=1").returncode == 0
    assert (pod.hosts / "pod-0/codex_jax_run/status").read_text() == "143\n"
    pod.run("run.sh", *WHERE, "train", *RUN)
    assert (pod.hosts / "pod-0/codex_jax_run/pid").exists()


def test_report_knows_states_and_steps(pod):
    def report(worker=0):
        home = pod.hosts / f"pod-{worker}"
        environment = pod.environment | {"HOME": str(home), "NODE": "pod", "WORKER": str(worker)}
        done = subprocess.run(
            ["bash", "codex_jax/tpu_scripts/host.sh", "report"],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    assert report() == [f"@ pod/worker-0 idle - - - {head()}"]
    pod.run("run.sh", *WHERE, "--attempt=1", "train", *FOREVER)
    assert report()[-1] == f"@ pod/worker-0 running 1 - - {head()}"
    wait_until(lambda: "<train>" in log(pod, 0) and "<train>" in log(pod, 1))
    pod.run("stop.sh", *WHERE)
    assert report()[-1].startswith("@ pod/worker-0 ended 1 75 ")
    pod.run("run.sh", *WHERE, "--attempt=2", "train", "--checkpoint_dir=other", "--steps=4")
    wait_until(lambda: "exit status 0" in log(pod, 0))
    lines = report()
    assert lines[-1] == f"@ pod/worker-0 ended 2 0 4 {head()}"
    assert "pod/worker-0: <--checkpoint_dir=other>" in lines
    assert report() == lines[-1:]  # each line of the log is reported once
    (pod.hosts / "pod-0/codex_jax_run/status").unlink()
    assert report()[-1].startswith("@ pod/worker-0 lost 2 - 4")


def test_compiled_programs_are_kept_where_nothing_else_is_set(pod):
    program = pod.hosts / "pod-0" / "codex_jax" / ".venv" / "bin" / "codex-jax"
    program.write_text('#!/bin/bash\necho "in $JAX_COMPILATION_CACHE_DIR"\n')
    pod.run("run.sh", *WHERE, "sample")
    wait_until(lambda: "exit status 0" in log(pod, 0))
    assert f"in {pod.hosts}/pod-0/codex_jax_compiled\n" in log(pod, 0)
    pod.run("run.sh", *WHERE, "--env=JAX_COMPILATION_CACHE_DIR=/other", "sample")
    wait_until(lambda: "in /other\n" in log(pod, 0))


def test_lines_of_all_parts_are_counted(pod):
    tree = pod.hosts / "pod-0" / "codex_jax"
    for name, lines in [("done.jsonl.part-0", 2), ("done.jsonl.part-1", 3)]:
        (tree / name).write_text("{}\n" * lines)
    pod.run("run.sh", *WHERE, "sample", "--output=done.jsonl", "--status=7")
    wait_until(lambda: "exit status 7" in log(pod, 0))
    environment = pod.environment | {"HOME": str(tree.parent), "NODE": "pod", "WORKER": "0"}
    command = ["bash", str(tree / "tpu_scripts/host.sh"), "report"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split()[5] == "5"


def test_logs_come_from_every_worker_that_has_some(pod):
    pod.run("run.sh", *WHERE, "train", *RUN)
    wait_until(lambda: "<train>" in log(pod, 0) and "<train>" in log(pod, 1))
    done = pod.run("logs.sh", *WHERE)
    assert done.returncode == 0, done.stderr
    for worker in (0, 1):
        fetched = pod.folder / f"logs/pod/pod/worker-{worker}/codex_jax_run/log"
        assert "<train>" in fetched.read_text()
    shutil.rmtree(pod.hosts / "pod-0/codex_jax_run")
    done = pod.run("logs.sh", *WHERE, "--into=other")
    assert done.returncode == 1
    assert "logs.sh: no logs came from pod/worker-0\n" in done.stderr
    assert (pod.folder / "other/pod/pod/worker-1/codex_jax_run/log").exists()


def test_slices_are_reached_each(cloud):
    cloud.plan(states=[])
    cloud.run("create.sh", *WHERE, "--type=v5litepod-16", "--slices=2")
    cloud.run("wait.sh", *WHERE)
    assert cloud.run("setup.sh", *WHERE).returncode == 0
    cloud.run("run.sh", *WHERE, "sample")
    assert cloud.run("attach.sh", *WHERE).stdout.count(": <sample>") == 4
    assert cloud.run("logs.sh", *WHERE).returncode == 0
    assert (cloud.folder / "logs/pod/pod-1/worker-1/codex_jax_run/log").exists()


@pytest.mark.parametrize("sent", [True, False])
def test_contain_hands_on_status_and_signals(tmp_path, sent):
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "tpu_scripts", tree / "tpu_scripts")
    (tree / "rows").mkdir()
    (tree / "rows" / "metrics.jsonl").write_text('{"step": 41}\n{"step": 42, "loss": 1}\n')
    program = tree / "train"
    program.write_text(CONTAINED)
    program.chmod(0o755)
    words = ["./train", "yes" if sent else "no", "train", "--checkpoint_dir=rows"]
    process = subprocess.Popen(
        ["bash", tree / "tpu_scripts/host.sh", "contain", *words],
        env={"PATH": "/usr/bin:/bin", "HOME": "/", "TERMINATION_MESSAGE": f"{tmp_path}/message"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "on\n"
    if sent:
        process.terminate()
    assert process.wait(20) == (75 if sent else 7)
    assert (tmp_path / "message").read_text() == "42\n"
