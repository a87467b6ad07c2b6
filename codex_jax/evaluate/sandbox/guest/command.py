"""A command in a sandbox: no server, but a program of somebody's own that prints its results.

What it writes to descriptor 3 is what the host reads; its other outputs go nowhere.
"""

import json
import os
import sys

from codex_jax.evaluate.sandbox.guest import confine

_RESULTS = 3
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_LOW_UID = 20_000


def main():
    """Restricts this process, then becomes the script's."""
    settings = json.loads(sys.argv[1])
    os.dup2(1, _RESULTS, inheritable=True)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.chdir("/tmp")
    limits = settings["limits"]
    confine.harden(limits, own_uid=False, seccomp=settings["seccomp"])
    confine.set_rlimits(limits)
    confine.drop_privileges(_LOW_UID if settings["own_uid"] else 0)
    environment = {**_ENVIRONMENT, **settings["environment"]}
    os.execve(sys.executable, [sys.executable, "-P", *settings["arguments"]], environment)


if __name__ == "__main__":
    main()
