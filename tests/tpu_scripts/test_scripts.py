"""Each script by itself, against the played gcloud."""

import re
import shlex
import shutil
import subprocess

import pytest

from .conftest import ROOT, WHERE

SCRIPTS = sorted(
    path.name
    for path in (ROOT / "tpu_scripts").glob("*.sh")
    if path.name not in ("lib.sh", "host.sh")
)
EXTRA = {
    "create.sh": ["--type=v5litepod-16"],
    "run.sh": ["train", "a.gin", "--steps=5"],
    "launch.sh": ["--type=v5litepod-16", "train", "a.gin", "--steps=5"],
}
SINGLE = [script for script in SCRIPTS if script not in ("launch.sh", "gke.sh")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_lists_the_flags(cloud, script):
    done = cloud.run(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{script} ")
    assert "--dry-run" in done.stdout
    assert "#" not in done.stdout


@pytest.mark.parametrize("script", SINGLE)
def test_dry_run_prints_what_the_real_run_calls(cloud, script):
    if script not in ("create.sh", "list.sh"):
        cloud.activate(workers=1)
    for listing in ("queued-resources.list", "tpu-vm.list"):
        (cloud.folder / listing).touch()
    flags = [*WHERE, "--project=p", *EXTRA.get(script, [])]
    if script == "run.sh":
        flags[3:3] = ["--attempt=1"]
    if script in ("run.sh", "attach.sh", "stop.sh", "logs.sh"):
        cloud.run("setup.sh", *WHERE)
        (cloud.folder / "calls").unlink()
    if script in ("attach.sh", "logs.sh"):
        cloud.run("run.sh", *WHERE, "sample")
        (cloud.folder / "calls").unlink()
    dry = cloud.run(script, *flags[:3], "--dry-run", *flags[3:])
    assert dry.returncode == 0, dry.stderr
    assert cloud.calls == []
    shown = [shlex.split(line) for line in dry.stdout.splitlines()]
    real = cloud.run(script, *flags)
    assert real.returncode == 0, real.stderr
    called = [["gcloud", *call] for call in cloud.calls]
    # delete.sh also looks whether there is something to delete.
    assert [words for words in shown if words[0] == "gcloud"] == [
        words for words in called if script != "delete.sh" or "describe" not in words
    ]
    assert all("--zone=us-central2-b" in call and "--project=p" in call for call in called)


@pytest.mark.parametrize("script", [*SINGLE, "launch.sh"])
@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--zone=z"], "--name is not set; see --help"),
        (["--name=n"], "--zone is not set; see --help"),
        (["--name=n", "--zon=z"], "no flag --zon; see --help"),
        (["--name=n", "--zone="], "--zone has no value; write --zone=VALUE"),
        (["--name=My_pod", "--zone=z"], "--name=My_pod: expected lowercase letters, digits and "),
    ],
)
def test_bad_flags_are_one_line_and_status_2(cloud, script, flags, line):
    if script == "list.sh" and "--name" in line and "-name" not in str(flags):
        pytest.skip("lists all names")
    done = cloud.run(script, *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{script}: {line}")
    assert done.stderr.count("\n") == 1
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("script", "flags", "line"),
    [
        ("create.sh", ["--type=v4-8", "--type=v4-8"], "--type is set twice; set it once"),
        ("create.sh", ["--spot=yes", "--type=v4-8", "--spot=no"], "--spot is set twice"),
        ("delete.sh", ["--zone=us-central2-b"], "--zone is set twice; set it once"),
        ("run.sh", ["--env=A=1", "--env=B=2", "sample"], "--env is set twice; set it once"),
        ("create.sh", ["--spot", "no", "--type=v4-8"], "--spot has no value; write --spot=VALUE"),
        ("create.sh", ["-x", "--type=v4-8"], "no flag -x; see --help"),
        ("delete.sh", ["--dry-run=no"], "no flag --dry-run; see --help"),
        ("setup.sh", ["--bucket=a b"], "--bucket='a b': expected a bucket's name alone"),
        ("setup.sh", ["--bucket=b;reboot"], "--bucket='b;reboot': expected a bucket's name"),
        ("setup.sh", ["--bucket=$(reboot)"], "--bucket='$(reboot)': expected a bucket's name"),
        ("setup.sh", ["--bucket=gs://bucket"], "--bucket='gs://bucket': expected a bucket's name"),
        ("setup.sh", ["--commit=nowhere"], "--commit=nowhere: no such commit in "),
        ("create.sh", ["--type=v4-8 --spot"], "--type='v4-8 --spot': expected letters, digits"),
        ("create.sh", ["--type=v4-8", "--network=a'b"], "--network="),
        ("create.sh", ["--type=v4-8", "--slices=08"], "--slices=08: expected a whole number"),
        ("create.sh", ["--type=v4-8", "--slices=9" + "9" * 20], "--slices=9"),
        ("wait.sh", ["--every=soon"], "--every=soon: expected seconds"),
        ("wait.sh", ["--timeout=1h"], "--timeout=1h: expected a whole number"),
        ("delete.sh", ["--every=-1"], "--every=-1: expected seconds"),
        ("delete.sh", ["--timeout=09"], "--timeout=09: expected a whole number"),
        ("stop.sh", ["--grace=$(reboot)"], "--grace=$(reboot): expected a whole number"),
        ("attach.sh", ["--lines=;reboot"], "--lines=;reboot: expected a whole number"),
        ("run.sh", ["--attempt=a;b", "sample"], "--attempt='a;b': expected letters, digits"),
        ("run.sh", ["--env=A=1,2=3", "sample"], "--env: '2=3': expected NAME=VALUE"),
        ("run.sh", ["--env=A=1,\nB", "sample"], "--env: "),
    ],
)
def test_what_a_flag_does_not_take_calls_nothing(cloud, script, flags, line):
    done = cloud.run(script, *WHERE, *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{script}: {line}")
    assert done.stderr.count("\n") == 1
    assert cloud.calls == []


@pytest.mark.parametrize("zone", ["us central2", "z;reboot", "$(reboot)", "'z'", "-z"])
def test_a_zone_is_a_name(cloud, zone):
    done = cloud.run("delete.sh", "--name=pod", f"--zone={zone}")
    assert (done.returncode, cloud.calls) == (2, [])
    assert "expected letters, digits and any of" in done.stderr


def test_unexpected_words_are_refused(cloud):
    done = cloud.run("delete.sh", *WHERE, "now")
    assert (done.returncode, done.stderr) == (2, "delete.sh: now: unexpected word; see --help\n")


@pytest.mark.parametrize(
    ("accelerator", "runtime"),
    [
        ("v4-32", "tpu-ubuntu2204-base"),
        ("v5litepod-16", "v2-alpha-tpuv5-lite"),
        ("v5p-8", "v2-alpha-tpuv5"),
        ("v6e-64", "v2-alpha-tpuv6e"),
    ],
)
def test_create_knows_the_image_of_each_type(cloud, accelerator, runtime):
    assert cloud.run("create.sh", *WHERE, f"--type={accelerator}").returncode == 0
    assert cloud.calls == [
        [
            *("compute", "tpus", "queued-resources", "create", "pod", "--node-id=pod"),
            *(f"--accelerator-type={accelerator}", f"--runtime-version={runtime}"),
            *("--labels=codex-jax-run=pod", "--zone=us-central2-b"),
        ]
    ]


@pytest.mark.parametrize(
    ("flags", "shown", "absent"),
    [
        (["--spot=yes"], ["--spot"], ["--reserved"]),
        (["--spot=no"], [], ["--spot", "--reserved"]),
        (["--reserved=yes", "--spot=no"], ["--reserved"], ["--spot"]),
        (["--reserved=no"], [], ["--spot", "--reserved"]),
        (["--slices=2"], ["--node-count=2", "--node-prefix=pod"], ["--node-id"]),
        (["--slices=1"], ["--node-id=pod"], ["--node-count"]),
        (["--runtime=own"], ["--runtime-version=own"], []),
        (
            ["--network=net", "--subnetwork=sub", "--service-account=a@b.c"],
            ["--network=net", "--subnetwork=sub", "--service-account=a@b.c"],
            [],
        ),
    ],
)
def test_create_requests_capacity_as_set(cloud, flags, shown, absent):
    words = cloud.run("create.sh", *WHERE, "--type=v4-8", *flags, "--dry-run").stdout.split()
    assert set(shown) <= set(words)
    assert not [word for word in words if word.partition("=")[0] in absent]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--type=v99-8"], "--type=v99-8: no runtime known for it; set --runtime"),
        (["--type=v4-8", "--spot=maybe"], "--spot=maybe: expected yes or no"),
        (["--type=v4-8", "--spot"], "--spot has no value; write --spot=VALUE"),
        (["--type=v4-8", "--slices=two"], "--slices=two: expected a whole number"),
        (["--type=v4-8", "--slices=0"], "--slices=0: expected 1 or more"),
        (
            ["--type=v4-8", "--spot=yes", "--reserved=yes"],
            "--spot and --reserved exclude each other; set one",
        ),
        ([], "--type is not set; see --help"),
    ],
)
def test_create_refuses_what_it_does_not_understand(cloud, flags, line):
    done = cloud.run("create.sh", *WHERE, *flags)
    assert (done.returncode, done.stderr) == (2, f"create.sh: {line}\n")
    assert cloud.calls == []


def test_wait_follows_the_states(cloud):
    states = ["ACCEPTED", "WAITING_FOR_RESOURCES", "WAITING_FOR_RESOURCES", "PROVISIONING"]
    cloud.plan(states=states)
    cloud.run("create.sh", *WHERE, "--type=v4-8")
    done = cloud.run("wait.sh", *WHERE, "--every=0.01")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"pod: {state}" for state in [*states[:2], "PROVISIONING", "ACTIVE"]
    ]


@pytest.mark.parametrize("state", ["FAILED", "SUSPENDING", "SUSPENDED", "ABSENT"])
def test_wait_gives_up_where_there_is_no_hope(cloud, state):
    cloud.plan(states=["PROVISIONING", state])
    if state != "ABSENT":
        cloud.run("create.sh", *WHERE, "--type=v4-8")
    done = cloud.run("wait.sh", *WHERE, "--every=0.01")
    assert done.returncode == 1
    assert "pod will not become ACTIVE" in done.stderr


def test_wait_ends_in_time(cloud):
    cloud.run("create.sh", *WHERE, "--type=v4-8")
    done = cloud.run("wait.sh", *WHERE, "--timeout=0")
    assert (done.returncode, done.stdout) == (1, "pod: WAITING_FOR_RESOURCES\n")


@pytest.mark.parametrize(
    "line",
    [
        "HTTPError 503: The service is currently unavailable.",
        "There was a problem refreshing your current auth tokens: Connection reset by peer",
        "gcloud crashed (ConnectionError): ('Connection aborted.')",
    ],
)
def test_wait_survives_errors_that_pass(cloud, line):
    cloud.plan(states=["PROVISIONING"], errors=[{"match": "describe", "line": line}] * 2)
    cloud.run("create.sh", *WHERE, "--type=v4-8")
    done = cloud.run("wait.sh", *WHERE, "--every=0.01")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "pod: ACTIVE"
    assert done.stderr.count(line) == 2


def test_wait_ends_on_an_error_that_stays(cloud):
    line = "PERMISSION_DENIED: Permission 'tpu.queuedResources.get' denied"
    cloud.plan(errors=[{"match": "describe", "line": line}])
    done = cloud.run("wait.sh", *WHERE, "--every=0.01")
    assert done.returncode == 1
    assert line in done.stderr
    assert len(cloud.calls) == 1


def test_delete_is_over_when_nothing_is_there(cloud):
    assert cloud.run("delete.sh", *WHERE).returncode == 0  # nothing was there
    assert cloud.count("delete") == 0
    cloud.plan(errors=[{"match": " delete ", "line": "HTTPError 503"}])
    cloud.run("create.sh", *WHERE, "--type=v4-8")
    done = cloud.run("delete.sh", *WHERE, "--every=0.01")
    assert done.returncode == 0, done.stderr
    assert not (cloud.folder / "request.json").exists()
    assert cloud.count("delete", "--force", "--quiet") == 2


def test_delete_says_what_still_exists(cloud):
    cloud.plan(errors=[{"match": " delete ", "line": "HTTPError 503"}] * 9)
    cloud.run("create.sh", *WHERE, "--type=v4-8")
    done = cloud.run("delete.sh", *WHERE, "--timeout=0")
    assert done.returncode == 2
    assert "pod still exists (WAITING_FOR_RESOURCES); run delete.sh again" in done.stderr


def test_list_multiplies_chips_and_hours(cloud):
    created = subprocess.run(
        ["date", "-u", "-d", "-2 hours", "+%FT%TZ"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (cloud.folder / "queued-resources.list").write_text("REQUEST STATE\npod ACTIVE\n")
    (cloud.folder / "tpu-vm.list").write_text(
        f"pod,v5p-256,READY,{created}\nsmall,v5litepod-16,READY,{created}\n"
    )
    done = cloud.run("list.sh", "--zone=us-east5-a", "--price=2")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    for slice_name, chips in (("pod", 128), ("small", 16)):
        _, _, _, count, hours, dollars = rows[slice_name]
        assert int(count) == chips
        assert float(hours) == pytest.approx(2 * chips, rel=0.01)
        assert float(dollars) == pytest.approx(4 * chips, rel=0.01)
    assert "USD" not in cloud.run("list.sh", "--zone=us-east5-a").stdout


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    scripts = [*(ROOT / "tpu_scripts").glob("*.sh"), ROOT / ".ci" / "run", ROOT / ".ci" / "venv"]
    command = ["shellcheck", "-x", *scripts]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == ""


def test_every_script_is_short():
    lengths = {
        path.name: len(path.read_text().splitlines())
        for path in (ROOT / "tpu_scripts").glob("*.sh")
    }
    assert max(lengths.values()) <= 250, lengths
    assert not [name for name in lengths if not re.fullmatch(r"[a-z]+\.sh", name)]
