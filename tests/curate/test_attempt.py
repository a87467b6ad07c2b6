"""A function or contest that fails costs itself alone, and is counted with a reason."""

import pytest

from codex_jax.curate import package_runs
from codex_jax.curate.problems import attempt
from codex_jax.curate.problems.usefulness import RejectedError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RejectedError("useless"), "useless"),
        (RecursionError(), "too deep to parse"),
        (ValueError("Exceeds the limit (4300 digits)"), "a number of too many digits"),
    ],
)
def test_a_function_that_makes_no_problem_has_a_reason(error, reason):
    def make():
        raise error

    tally = package_runs.Tally("p")
    attempt.try_problem(tally, make, "f")
    assert tally.reasons == {reason: 1}


def test_other_errors_are_ours():
    with pytest.raises(ValueError, match="ours"):
        attempt.try_problem(package_runs.Tally("p"), lambda: int("ours"), "f")
