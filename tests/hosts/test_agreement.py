"""Hosts that differ are named, with what differs; so is a folder that isn't shared."""

import jax
import pytest

from codex_jax import InputError, hosts
from codex_jax.hosts import HostLimits
from codex_jax.hosts.agreement import agree, check_shared, explain_differences, program_facts


class Answers:
    """A watch whose peers' answers are set beforehand."""

    def __init__(self, count=2, **others):
        self.limits = HostLimits(lost_after_s=1.0)
        self.peers = self
        self.count = count
        self.index = count - 1
        self.others = others

    def exchange(self, subject, text):
        return [*self.others[subject], text]

    def during(self, _name):
        import contextlib

        return contextlib.nullcontext()


def test_the_odd_process_and_what_differs_are_named():
    table = {"seed": "0", "steps": "10"}
    line = explain_differences([table, table | {"seed": "1"}, table])
    assert line == (
        "the hosts don't agree; unlike processes 0 and 2, process 1: seed is 1, not 0; set the "
        "same on every host"
    )


def test_without_a_majority_process_0_is_the_measure():
    tables = [{"seed": "0"}, {"seed": "1"}, {"seed": "2", "extra": "x"}]
    line = explain_differences(tables)
    assert "unlike process 0, process 1: seed is 1, not 0" in line
    assert "process 2: extra is x, not None, seed is 2, not 0" in line


def test_the_majority_is_the_measure_even_against_process_0():
    line = explain_differences([{"seed": "9"}, {"seed": "0"}, {"seed": "0"}])
    assert "unlike processes 1 and 2, process 0: seed is 9, not 0" in line


def test_many_differences_are_counted():
    odd = {str(n): "1" for n in range(20)}
    assert "15 more" in explain_differences([{}, odd, {}])


def test_equal_facts_pass_and_one_process_makes_none():
    agree(Answers(count=1), lambda: pytest.fail("made facts"))
    with pytest.raises(InputError, match="process 1: seed is 1, not 0"):
        agree(Answers(digest=["other"], facts=['{"seed": "0"}']), lambda: {"seed": 1})


def test_facts_tell_code_versions_and_devices(monkeypatch, tmp_path):
    facts = program_facts()
    assert len(facts["code"]) == 12
    assert facts["jax"].count(".") == 2
    assert " × " in facts["devices"]
    monkeypatch.setenv("XLA_FLAGS", "--xla_other")
    assert program_facts()["XLA_FLAGS"] == "--xla_other"
    former = program_facts()
    for name, value in (
        ("jax_default_matmul_precision", "bfloat16"),
        ("jax_default_prng_impl", "rbg"),
        ("jax_numpy_dtype_promotion", "strict"),
        ("jax_threefry_partitionable", not jax.config.jax_threefry_partitionable),
    ):
        value_before = jax.config.values[name]
        jax.config.update(name, value)
        changed = program_facts()
        jax.config.update(name, value_before)
        assert {k for k in changed if changed[k] != former[k]} == {name}
    (tmp_path / "COMMIT").write_text("0123456789abcdef\n")
    assert hosts.agreement._commit(tmp_path) == "0123456789ab"
    assert hosts.agreement._commit(tmp_path / "none") == ""


def test_a_folder_that_is_not_shared_is_named(tmp_path):
    path = tmp_path / "trainer.lock"
    path.write_text('{"token": "abc"}')
    check_shared(Answers(mark=["abc"], shared=["yes"]), path, "mine", "checkpoint_dir")
    with pytest.raises(InputError, match=r"checkpoint_dir .* process 1 can't see what process 0"):
        check_shared(Answers(mark=["other"], shared=["yes"]), path, "mine", "checkpoint_dir")
    with pytest.raises(InputError, match="process 1 can't see"):
        check_shared(
            Answers(mark=["abc"], shared=["yes"]), tmp_path / "none", "mine", "checkpoint_dir"
        )
