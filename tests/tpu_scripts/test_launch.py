"""launch.sh against the played gcloud: preemptions, crashes, lost lines, and an end that is one."""

import re
import signal
import time

import pytest

from .conftest import WHERE

FLAGS = [*WHERE, "--type=v4-16", "--every=0.05"]


def train(cloud, *, steps=40, **settings):
    """The words of a training whose checkpoints outlive the hosts."""
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return ["train", f"--checkpoint_dir={cloud.folder}/bucket", f"--steps={steps}", *flags]


def steps(cloud) -> list[int]:
    lines = (cloud.folder / "bucket" / "metrics.jsonl").read_text().splitlines()
    return [int(re.search(r'"step": (\d+)', line).group(1)) for line in lines]


def is_clean(cloud) -> bool:
    """Whether nothing is left of a run but its logs."""
    left = [*cloud.hosts.iterdir(), *(cloud.folder / "scratch").glob("*.tar.gz")]
    return not left and not (cloud.folder / "request.json").exists()


def test_a_run_without_mishaps(cloud):
    done = cloud.run("launch.sh", *FLAGS, *train(cloud))
    assert done.returncode == 0, done.stderr
    assert steps(cloud) == list(range(1, 41))
    assert (cloud.count("create"), cloud.count("delete")) == (1, 1)
    assert is_clean(cloud)
    assert "pod/worker-1: <train>" in done.stdout
    log = (cloud.folder / "logs" / "pod" / "launch.log").read_text()
    assert "pod: done, step 40" in log
    assert "pod/worker-0: <train>" in log
    assert (cloud.folder / "logs/pod/pod/worker-1/codex_jax_run/log").exists()


@pytest.mark.slow
def test_twenty_preemptions_in_a_row(cloud):
    cloud.plan(preemptions=20, workers=1)
    done = cloud.run("launch.sh", *FLAGS, *train(cloud, steps=150))
    assert done.returncode == 0, done.stderr
    assert steps(cloud)[-1] == 150
    assert steps(cloud) == sorted(set(steps(cloud)))  # two trainings would write a step twice
    assert cloud.count("create") == 21
    assert "ALREADY_EXISTS" not in done.stderr
    assert done.stderr.count("was taken away") == 20
    started = (cloud.folder / "bucket" / "started-pod-0").read_text().splitlines()
    assert len(started) == done.stderr.count("starting attempt")
    assert is_clean(cloud)


def test_the_same_step_failing_twice_stops(cloud):
    done = cloud.run("launch.sh", *FLAGS, *train(cloud, crash_at=7))
    assert done.returncode == 1
    assert "crashed with status 7 at step 7" in done.stderr
    assert "crashed again, status 7, no further than step 7: stopped" in done.stderr
    assert done.stderr.count("starting attempt") == 2
    assert is_clean(cloud)
    assert (cloud.folder / "logs/pod/pod/worker-0/codex_jax_run/log").exists()


def test_a_worker_that_fails_alone_ends_the_others(cloud):
    words = train(cloud, steps=999999, crash_at=3, crash_on=1)
    done = cloud.run("launch.sh", *FLAGS, *words)
    assert done.returncode == 1, done.stderr
    assert "crashed with status 7" in done.stderr
    assert cloud.count("ssh", "--command=bash codex_jax/tpu_scripts/host.sh stop 300") == 2
    assert is_clean(cloud)


def test_a_crash_that_is_the_first_sign_of_a_preemption_is_none(cloud):
    program = (cloud.bin / "toy").read_text().replace("exit 7", "{ touch $CLOUD/fell; exit 7; }")
    cloud.program("toy", program)
    scenario = (cloud.bin / "gcloud").read_text()
    cloud.program(
        "gcloud",
        scenario.replace(
            "exec", "[ ! -e $CLOUD/fell ] || mv $CLOUD/preempting $CLOUD/scenario.json\nexec", 1
        ),
    )
    (cloud.folder / "preempting").write_text('{"preemptions": 1, "states": []}')
    done = cloud.run("launch.sh", *FLAGS, *train(cloud, steps=9, crash_at=3))
    assert done.stderr.count("was taken away") == 1
    assert done.returncode == 1  # it falls there again, on hosts that stay: that is a crash
    assert done.stderr.count("crashed with status 7 at step 3") == 1


def test_errors_that_pass_create_nothing_twice(cloud):
    errors = [
        {"match": " create ", "line": "HTTPError 503"},
        {"match": " create ", "line": "Connection reset", "after": True},
        {"match": "state.state", "line": "HTTPError 502"},
        {"match": "host.sh install", "line": "Connection to worker lost", "status": 255},
        {"match": "host.sh start", "line": "lost", "status": 255, "after": True},
        {"match": "host.sh report", "line": "lost", "status": 255},
        {"match": "host.sh report", "line": "lost", "status": 255, "after": True},
        {"match": " delete ", "line": "HTTPError 503", "after": True},
    ]
    cloud.plan(errors=errors)
    done = cloud.run("launch.sh", *FLAGS, *train(cloud))
    assert done.returncode == 0, done.stderr
    assert steps(cloud) == list(range(1, 41))
    started = (cloud.folder / "bucket" / "started-pod-0").read_text().splitlines()
    assert len(started) == 1
    assert is_clean(cloud)
    assert cloud.count("create") == 3  # refused, done under a lost answer, and that one itself
    assert "ALREADY_EXISTS" not in done.stderr


@pytest.mark.parametrize(
    "line", ["Quota 'TPUV4CoresPerProject' exhausted", "PERMISSION_DENIED: denied"]
)
def test_what_cannot_be_created_is_said_at_once(cloud, line):
    cloud.plan(errors=[{"match": " create ", "line": line}])
    done = cloud.run("launch.sh", *FLAGS, *train(cloud))
    assert done.returncode == 1
    assert f"cannot be created: ERROR: (gcloud.compute.tpus) {line}" in done.stderr
    assert cloud.count("create") == 1


def test_a_request_that_fails_three_times_stops(cloud):
    cloud.plan(states=["FAILED"])
    done = cloud.run("launch.sh", *FLAGS, *train(cloud))
    assert done.returncode == 1
    assert "FAILED 3 times without ever being ACTIVE" in done.stderr
    assert cloud.count("create") == 3
    assert is_clean(cloud)


def test_hosts_that_cannot_be_set_up_stop_after_three_tries(cloud):
    cloud.program("make", "#!/bin/sh\nexit 2\n")
    done = cloud.run("launch.sh", *FLAGS, *train(cloud))
    assert done.returncode == 1
    assert "the hosts could not be set up in 3 tries" in done.stderr
    assert is_clean(cloud)


def test_a_worker_that_never_answers_is_replaced(cloud):
    cloud.plan(deaf=[[0, 1]])
    process = cloud.start("launch.sh", *FLAGS, *train(cloud))
    deadline = time.monotonic() + 60
    while cloud.count("create") < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    cloud.plan()
    _, errors = process.communicate(timeout=120)
    assert "a worker has not answered for 10 looks" in errors
    assert process.returncode == 0
    assert is_clean(cloud)


def test_a_resource_whose_ssh_is_closed_is_left_and_named(cloud):
    cloud.plan(workers=1, deaf=[[0, 0]])
    done = cloud.run("launch.sh", *WHERE, "--type=v4-8", "--every=0", *train(cloud))
    assert done.returncode == 1
    assert "no worker answers ssh" in done.stderr
    assert "cost: delete.sh --name=pod --zone=us-central2-b" in done.stderr
    assert (cloud.count("create"), cloud.count("delete")) == (1, 0)


def test_a_command_that_never_starts_ends(cloud):
    errors = [{"match": "host.sh start", "line": "no space left", "status": 1}] * 20
    cloud.plan(workers=1, errors=errors)
    done = cloud.run("launch.sh", *FLAGS, *train(cloud))
    assert done.returncode == 1
    assert "could not be started in 5 tries" in done.stderr
    assert cloud.count("create") == 1
    assert is_clean(cloud)


def test_a_run_that_is_lost_twice_at_a_step_stops(cloud):
    cloud.plan(workers=1)
    cloud.program("toy", "#!/bin/bash\nsleep 0.3\nkill -KILL 0  # its supervisor too\n")
    done = cloud.run("launch.sh", *FLAGS, *train(cloud))
    assert done.returncode == 1
    assert "crashed with status lost at step 0; starting attempt" in done.stderr
    assert "crashed again, status lost, no further than step 0: stopped" in done.stderr
    assert is_clean(cloud)


def test_another_launch_goes_on_where_the_first_was_killed(cloud):
    words = train(cloud, steps=100, pause=0.05)
    process = cloud.start("launch.sh", *FLAGS, *words)
    path = cloud.folder / "bucket" / "metrics.jsonl"
    while not path.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = cloud.run("launch.sh", *FLAGS, *words)
    assert done.returncode == 0, done.stderr
    assert steps(cloud) == list(range(1, 101))
    assert cloud.count("create") == 1
    assert "starting attempt" not in done.stderr
    assert is_clean(cloud)


def test_hosts_that_run_something_else_are_left_alone(cloud):
    cloud.activate()
    cloud.run("setup.sh", *WHERE)
    cloud.run("run.sh", *WHERE, *train(cloud, steps=999999))
    done = cloud.run("launch.sh", *FLAGS, "sample")
    assert done.returncode == 1
    assert "runs something else" in done.stderr
    assert cloud.count("delete") == 0


def test_keep_leaves_the_hosts(cloud):
    done = cloud.run("launch.sh", *FLAGS, "--keep=yes", "sample")
    assert done.returncode == 0
    assert "the hosts stay and cost: delete.sh --name=pod --zone=us-central2-b" in done.stderr
    assert cloud.count("delete") == 0


def test_two_slices(cloud):
    cloud.plan(preemptions=1)
    done = cloud.run("launch.sh", *FLAGS, "--slices=2", *train(cloud))
    assert done.returncode == 0, done.stderr
    assert steps(cloud)[-1] == 40
    assert "pod-1/worker-1: <train>" in done.stdout
    assert is_clean(cloud)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--type=v99-1", "sample"], "create.sh: --type=v99-1: no runtime known for it"),
        (["--type=v4-8"], "launch.sh: no command; see --help"),
        (["sample"], "launch.sh: --type is not set; see --help"),
        (["--type=v4-8", "--keep=1", "sample"], "launch.sh: --keep=1: expected yes or no"),
        (["--type=v4-8", "--env=1A=2", "sample"], "launch.sh: --env: '1A=2': expected NAME=VALUE"),
        (["--type=v4-8", "--env=A", "sample"], "launch.sh: --env: 'A': expected NAME=VALUE"),
        (["--type=v4-8", "--bucket=gs://b", "sample"], "launch.sh: --bucket='gs://b': expected a"),
        (["--type=v4-8", "--every=often", "sample"], "launch.sh: --every=often: expected seconds"),
        (["--type=v4-8", "--type=v4-16", "sample"], "launch.sh: --type is set twice; set it once"),
        (["--type=v4-8", "--slices=0", "sample"], "create.sh: --slices=0: expected 1 or more"),
    ],
)
def test_bad_flags_create_nothing(cloud, flags, line):
    done = cloud.run("launch.sh", *WHERE, *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert cloud.calls == []
    assert not (cloud.folder / "logs").exists()
