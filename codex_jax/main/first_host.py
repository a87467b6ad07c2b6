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
      InputError: a command that starts others, which would wait for the other hosts.
    """
    import jax

    from codex_jax.checkpoint.processes import exchange

    index, count = jax.process_index(), jax.process_count()
    if count == 1 or command.hosts == "all":
        return act()
    if command.hosts == "one":
        raise InputError(
            f"{command.name} is for one host, and runs on {count}; set CODEX_JAX_DISTRIBUTED=0"
        )
    if index > 0:
        line = f"codex-jax {command.name}: host 0 of {count} runs it; host {index} waits"
        print(line, file=sys.stderr)
        exchange(f"end of {command.name}", "")
        return None
    try:
        return act()
    finally:
        exchange(f"end of {command.name}", "")
