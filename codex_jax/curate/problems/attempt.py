"""An attempt at a problem, counted whether it succeeds or not."""

from collections.abc import Callable

from codex_jax import records
from codex_jax.curate.package_runs import Tally
from codex_jax.curate.problems.usefulness import RejectedError


def try_problem(tally: Tally, make: Callable[[], records.Problem], name: str) -> None:
    """Counts the problem that `make` returns, or the reason why there is none.

    Args:
      tally: Where it counts.
      make: Makes the problem.
      name: The function's, for the report.
    """
    try:
        tally.add_problem(make())
    except RejectedError as error:
        tally.add(str(error), name)
    except (RecursionError, MemoryError):
        tally.add("too deep to parse", name)
    except ValueError as error:
        if "digits" not in str(error):
            raise
        tally.add("a number of too many digits", name)
