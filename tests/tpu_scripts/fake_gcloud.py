"""Plays gcloud's queued resources: states, hosts as folders, ssh as a shell there, and mishaps.

Everything stands in $CLOUD: request.json (the one queued resource), calls (one line each),
scenario.json (what will happen) and hosts/NODE-WORKER, the home folders.
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

CLOUD = pathlib.Path(os.environ["CLOUD"])
REQUEST = CLOUD / "request.json"
HOSTS = CLOUD / "hosts"
SCENARIO = CLOUD / "scenario.json"


def main(words: list[str]) -> int:
    with (CLOUD / "calls").open("a") as calls:
        calls.write(shlex.join(words) + "\n")
    scenario = json.loads(SCENARIO.read_text())
    if status := mishap(scenario, words):
        return status
    flags = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    plain = [word for word in words if not word.startswith("--")]
    group, command, *names = plain[2:]
    if command == "create":
        return create(scenario, flags)
    if command == "list":
        print((CLOUD / f"{group}.list").read_text(), end="")
        return 0
    if not REQUEST.exists():
        return fail("NOT_FOUND: Resource was not found")
    return answer(scenario, command, names, flags)


def answer(scenario: dict, command: str, names: list[str], flags: dict) -> int:
    request = json.loads(REQUEST.read_text())
    match command:
        case "describe" if "state.state" in flags["format"]:
            print(next_state(scenario, request))
        case "describe" if "nodeSpec" in flags["format"]:
            print(";".join(request["nodes"]))
        case "describe":
            print(request["workers"])
        case "delete":
            kill_hosts()
            REQUEST.unlink()
        case "ssh":
            return ssh(scenario, request, flags)
        case "scp":
            return scp(request, names, flags)
    return 0


def fail(line: str, status: int = 1) -> int:
    print(f"ERROR: (gcloud.compute.tpus) {line}", file=sys.stderr)
    return status


def mishap(scenario: dict, words: list[str]) -> int:
    """The first of scenario["errors"] whose pattern matches happens, once, before or after."""
    line = shlex.join(words)
    for error in scenario.get("errors", []):
        if re.search(error["match"], line):
            scenario["errors"].remove(error)
            SCENARIO.write_text(json.dumps(scenario))
            if error.get("after"):
                subprocess.run([sys.executable, "-SE", __file__, *words], check=False)
            return fail(error["line"], error.get("status", 1))
    return 0


def create(scenario: dict, flags: dict) -> int:
    if REQUEST.exists():
        return fail("ALREADY_EXISTS: Resource already exists")
    count = int(flags.get("node-count", 0))
    nodes = [f"{flags['node-prefix']}-{i}" for i in range(count)] or [flags["node-id"]]
    request = {"nodes": nodes, "workers": scenario.get("workers", 2), "looks": 0}
    request["states"] = list(scenario.get("states", ["WAITING_FOR_RESOURCES", "PROVISIONING"]))
    REQUEST.write_text(json.dumps(request))
    return 0


def next_state(scenario: dict, request: dict) -> str:
    """States of the plan, then ACTIVE with fresh hosts; a preemption after so many looks."""
    if request["states"]:
        state = request["states"].pop(0)
        if not request["states"] and state in ("FAILED", "SUSPENDED", "SUSPENDING"):
            request["states"] = ["SUSPENDED" if state == "SUSPENDING" else state]
    else:
        state = "ACTIVE"
        for node in request["nodes"]:
            for worker in range(request["workers"]):
                (HOSTS / f"{node}-{worker}").mkdir(parents=True, exist_ok=True)
        request["looks"] += has_progress()
        if scenario.get("preemptions", 0) and request["looks"] > 1:
            scenario["preemptions"] -= 1
            SCENARIO.write_text(json.dumps(scenario))
            kill_hosts()
            request["states"], state = ["SUSPENDED"], "SUSPENDING"
    REQUEST.write_text(json.dumps(request))
    return state


def has_progress() -> bool:
    return any(HOSTS.glob("*/codex_jax_run/pid"))


def kill_hosts() -> None:
    for host in HOSTS.glob("*"):
        kill_host(host)
        shutil.rmtree(host)


def kill_host(host: pathlib.Path) -> None:
    if (pid := host / "codex_jax_run" / "pid").exists() and len(pid.read_text().split()) == 2:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid.read_text().split()[1]), signal.SIGKILL)


def ssh(scenario: dict, request: dict, flags: dict) -> int:
    status = 0
    for index, node in enumerate(request["nodes"]):
        for worker in range(request["workers"]):
            if [index, worker] in scenario.get("deaf", []):
                print(f"Failed to connect to worker {worker}", file=sys.stderr)
                status = status or 255
                continue
            home = HOSTS / f"{node}-{worker}"
            print(f"SSH: Attempting to connect to worker {worker}...", file=sys.stderr)
            done = subprocess.run(
                ["bash", "-c", flags["command"]],
                check=False,
                cwd=home,
                env=os.environ | {"HOME": str(home), "NODE": node, "WORKER": str(worker)},
            )
            status = status or done.returncode
    return status


def scp(request: dict, names: list[str], flags: dict) -> int:
    source, target = names
    if target.endswith(":"):
        for host in HOSTS.glob("*"):
            shutil.copy(source, host)
        return 0
    host = HOSTS / f"{request['nodes'][int(flags['node'])]}-{flags['worker']}"
    folder = host / source.partition(":")[2]
    if not folder.exists():
        return fail(f"scp: {folder.name}: No such file or directory")
    shutil.copytree(folder, pathlib.Path(target) / folder.name, dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
