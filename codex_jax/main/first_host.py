"""Commands on several hosts: some run on each, most on host 0, for which the others wait."""

import sys
from collections.abc import Callable
from typing import Any

from codex_jax import InputError
from codex_jax.main.commands import Command


def run_on_hosts(command: Command, act: Callable[[], Any]) -> Any:
    """Runs a command on the hosts that it is for; the others say so, and end when it has ended.

    Args:
      command: The command.
      act: Runs it.

    Returns:
      What the command returns; None on a host that doesn't run it.

    Raises:
      InputError: a command that starts others, which would wait for the other hosts; on a host
        that waits, host 0 failed.
    """
    import jax

    from codex_jax.hosts import exchange

    index, count = jax.process_index(), jax.process_count()
    if count == 1 or command.hosts == "all":
        return act()
    if command.hosts == "one":
        raise InputError(
            f"{command.name} is for one host, and runs on {count}; set CODEX_JAX_DISTRIBUTED=0"
        )
    end = f"end of {command.name}"
    if index > 0:
        line = f"codex-jax {command.name}: host 0 of {count} runs it; host {index} waits"
        print(line, file=sys.stderr)
        if exchange(end, "")[0] != "done":
            raise InputError("host 0 stopped: its message says why")
        return None
    outcome = "failed"
    try:
        value = act()
        outcome = "done"
        return value
    finally:
        exchange(end, outcome)
