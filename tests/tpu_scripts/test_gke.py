"""gke.sh: its manifest, and its loop against a played kubectl."""

import json
import shlex
import shutil
import subprocess

import pytest
import yaml

from .conftest import ROOT

WHERE = [
    *("--name=pod", "--image=registry/codex", "--accelerator=tpu-v5-lite-podslice"),
    "--topology=4x4",
]
# Plays one JobSet: each look takes the next of $CLOUD/conditions; the last stays.
KUBECTL = """#!/usr/bin/env bash
printf '%s\\n' "${*@Q}" >> "$CLOUD/kubectl"
if grep -qx "$1 $2" "$CLOUD/broken"; then
    sed -i "0,/^$1 $2$/{//d}" "$CLOUD/broken"
    echo "Unable to connect to the server" >&2
    exit 1
fi
case "$1 $2" in
    "apply "*) cat > "$CLOUD/applied"; touch "$CLOUD/exists" ;;
    "delete jobset") rm "$CLOUD/exists" ;;
    "get pods") head -1 "$CLOUD/pods"; sed -i '1{$!d}' "$CLOUD/pods" ;;
    "get jobset")
        [[ -e $CLOUD/exists ]] || exit 0
        echo "pod $(head -1 "$CLOUD/conditions")"
        sed -i '1{$!d}' "$CLOUD/conditions"
        ;;
    "logs "*) echo "[pod/pod-slice-job-0-0/jax-tpu] step" ;;
esac
"""


@pytest.fixture
def cluster(cloud):
    cloud.program("kubectl", KUBECTL)

    def launch(*, conditions, pods=("",), broken=()):
        for name, lines in (("conditions", conditions), ("pods", pods), ("broken", broken)):
            (cloud.folder / name).write_text("".join(f"{line}\n" for line in lines))
        return cloud.run("gke.sh", *WHERE, "--every=0.01", "train", "a.gin")

    launch.count = lambda verb: sum(
        line.startswith(f"'{verb}'") for line in (cloud.folder / "kubectl").read_text().splitlines()
    )
    launch.folder, launch.program = cloud.folder, cloud.program
    return launch


def print_manifest(*flags: str, where: list[str] = WHERE) -> tuple[dict, list[list[str]]]:
    command = [ROOT / "tpu_scripts" / "gke.sh", "--dry-run", *where, *flags]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    manifest, _, commands = output.partition("---\n")
    return yaml.safe_load(manifest), [shlex.split(line) for line in commands.splitlines()]


def test_the_manifest_follows_xpk_s_conventions():
    words = ["train", "a.gin", '--corpus={"a": "it\'s \\\\"}']
    flags = ["--slices=2", "--spot=yes", "--bucket=bkt", "--service-account=sa", "--env=A=1,B=2"]
    manifest, _ = print_manifest(*flags, *words)
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert manifest["metadata"]["labels"] == {
        "kueue.x-k8s.io/queue-name": "multislice-queue",
        "xpk.google.com/workload": "pod",
    }
    (job,) = manifest["spec"]["replicatedJobs"]
    assert job["replicas"] == 2
    spec = job["template"]["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (4, 4, 0)
    assert spec["template"]["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}
    pod = spec["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "cloud.google.com/gke-spot": "true",
    }
    assert pod["serviceAccountName"] == "sa"
    assert pod["volumes"][0]["csi"]["volumeAttributes"]["bucketName"] == "bkt"
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    start = ["bash", "tpu_scripts/host.sh", "contain", "A=1", "B=2", "CODEX_JAX_DISTRIBUTED=1"]
    assert container["command"] == [*start, "codex-jax", *words]


def test_only_a_preemption_restarts_within_the_cluster():
    manifest, _ = print_manifest("sample")
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] == 0
    actions = {
        rule["onJobFailureReasons"][0]: rule["action"]
        for rule in manifest["spec"]["failurePolicy"]["rules"]
    }
    assert actions == {
        "PodFailurePolicy": "FailJobSet",
        "BackoffLimitExceeded": "RestartJobSetAndIgnoreMaxRestarts",
    }
    (job,) = manifest["spec"]["replicatedJobs"]
    disruption, crash = job["template"]["spec"]["podFailurePolicy"]["rules"]
    assert disruption["action"] == "Count"
    assert crash["onExitCodes"] == {
        "containerName": "jax-tpu",
        "operator": "NotIn",
        "values": [75, 143],
    }


@pytest.mark.parametrize(("topology", "hosts", "chips"), [("4x4x8", 32, 4), ("1x1", 1, 1)])
def test_hosts_are_the_topology_s(topology, hosts, chips):
    manifest, _ = print_manifest(f"--topology={topology}", "sample", where=WHERE[:-1])
    spec = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert spec["parallelism"] == hosts
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["google.com/tpu"] == chips


def test_a_run_is_applied_once_watched_and_deleted(cluster):
    done = cluster(conditions=["", "", "Completed"], broken=["apply --filename=-", "get jobset"])
    assert done.returncode == 0, done.stderr
    assert cluster.count("apply") == 2  # the first did not reach the cluster
    assert cluster.count("delete") == 1
    assert "[pod/pod-slice-job-0-0/jax-tpu] step" in done.stdout
    assert "step" in (cluster.folder / "logs/pod/launch.log").read_text()
    assert yaml.safe_load((cluster.folder / "applied").read_text())["kind"] == "JobSet"


def test_the_same_step_failing_twice_stops(cluster):
    done = cluster(conditions=["Failed"], pods=["7 40", "7 90", "7 90"])
    assert done.returncode == 1
    assert "crashed with status 7 at step 40; starting again" in done.stderr
    assert "crashed again, status 7, no further than step 90: stopped" in done.stderr
    assert (cluster.count("apply"), cluster.count("delete")) == (3, 3)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--topology=big", "sample"], "--topology=big: expected a form like 4x4"),
        (["--spot=maybe", "sample"], "--spot=maybe: expected yes or no"),
        ([], "no command; see --help"),
        (["--env=A", "sample"], "--env: 'A': expected NAME=VALUE"),
        (["--slices=0", "sample"], "--slices and --chips-per-host: expected 1 or more"),
        (["--name=pod", "sample"], "--name is set twice; set it once"),
        (["--every=x", "sample"], "--every=x: expected seconds"),
    ],
)
def test_bad_flags_apply_nothing(cloud, flags, line):
    where = WHERE[:-1] if "--topology=big" in flags else WHERE
    done = cloud.run("gke.sh", *where, *flags)
    assert (done.returncode, done.stderr) == (2, f"gke.sh: {line}\n")


@pytest.mark.parametrize("flag", ["queue", "priority", "namespace", "service-account"])
@pytest.mark.parametrize("value", ["a b", 'a"', "a\nb: c", "{a}"])
def test_a_name_cannot_change_the_manifest(cloud, flag, value):
    done = cloud.run("gke.sh", *WHERE, f"--{flag}={value}", "sample")
    assert done.returncode == 2
    assert done.stderr.startswith(f"gke.sh: --{flag}=")


def test_words_come_to_the_container_as_they_are():
    words = ['--a=say "x"', "--b=back\\slash", "--c=two\nlines", "--d=$(x) `y`; z", "--e=tab\t'"]
    manifest, _ = print_manifest("--env=A=1 2,B=x", "sample", *words)
    template = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    command = template["spec"]["containers"][0]["command"]
    assert command[3:5] == ["A=1 2", "B=x"]
    assert command[-6:] == ["sample", *words]


@pytest.mark.parametrize(
    "line",
    [
        'error: resource mapping not found: no matches for kind "JobSet"',
        'Error from server (Forbidden): jobsets is forbidden: User "x" cannot create it',
        "error: You must be logged in to the server (Unauthorized)",
        'The JobSet "pod" is invalid: spec.replicatedJobs',
    ],
)
@pytest.mark.parametrize("call", ["apply --filename=-", "get jobset"])
def test_an_error_that_stays_ends_it(cluster, call, line):
    text = KUBECTL.replace("Unable to connect to the server", line.replace('"', '\\"'))
    cluster.program("kubectl", text)
    done = cluster(conditions=["Completed"], broken=[call] * 9)
    assert done.returncode == 1
    assert line in done.stderr
    assert cluster.count("apply") == (call == "apply --filename=-")


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_the_real_kubectl_accepts_every_command():
    _, commands = print_manifest("sample")
    assert {words[1] for words in commands} == {"apply", "get", "logs", "delete"}
    for words in commands:  # flags are parsed before --help is answered
        done = subprocess.run([*words, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (json.dumps(words), done.stderr)
    wrong = ["kubectl", "get", "pods", "--no-such-flag", "--help"]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode
