"""Causes are what a row holds, and each has a verdict."""

import json

import pytest

from codex_jax.evaluate.verdicts import TAINTING_CAUSES, VERDICT_OF, Cause, Outcome


def test_a_cause_is_written_and_read_by_its_value():
    outcome = Outcome(Cause.TIME_LIMIT, "3.0 s of CPU", 3.0)
    fields = json.loads(json.dumps(outcome._asdict()))
    assert fields == {"cause": "time_limit", "detail": "3.0 s of CPU", "cpu_s": 3.0}
    assert Cause(fields["cause"]) is Cause.TIME_LIMIT


def test_every_cause_has_a_verdict_and_only_a_pass_is_passed():
    assert set(VERDICT_OF) == set(Cause)
    assert [cause for cause, verdict in VERDICT_OF.items() if verdict == "passed"] == [Cause.PASSED]
    assert Cause.PASSED not in TAINTING_CAUSES


def test_an_unknown_cause_is_refused():
    with pytest.raises(ValueError, match="'endless' is not a valid Cause"):
        Cause("endless")
