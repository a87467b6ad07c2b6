"""The estimate of a program: its cache, memory that doesn't suffice, and other failures."""

import dataclasses
import json
import types

import pytest

from codex_jax.compile.estimate import Estimate, cache_key, estimate
from codex_jax.compile.targets import Target
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape

GIB = 1 << 30
TEXT = """HloModule jit_step, is_scheduled=true

ENTRY %main (x: f32[8]) -> f32[8] {
  %f = f32[8]{0} fusion(%x), backend_config={"estimated_cycles":"3000"}
  %k = f32[8] custom-call(%f), custom_call_target="tpu_custom_call", backend_config={"cost_estimate":{"flops":"197000000","transcendentals":"0","bytes_accessed":"8190"}}
  %g = f32[8]{0} all-gather(%k), channel_id=1
}
"""  # noqa: E501


class Compiled:
    """A compiled program: its text, and the bytes that it needs."""

    def __init__(self, gib):
        self.gib = gib

    def as_text(self):
        return TEXT

    def memory_analysis(self):
        return types.SimpleNamespace(
            argument_size_in_bytes=self.gib * GIB,
            temp_size_in_bytes=2 * GIB,
            output_size_in_bytes=GIB,
            alias_size_in_bytes=GIB,
            host_temp_size_in_bytes=3,
            host_argument_size_in_bytes=4,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program(Target):
    """A target whose compiler is played: it needs so many GiB of arguments, or raises."""

    gib: int = 1
    failure: str = ""
    title = "a program"

    def lower(self):
        return self

    def compile(self):
        if self.failure:
            raise RuntimeError(self.failure)
        return Compiled(self.gib)


def program(**changes):
    model = DecoderConfig(vocab_size=256, layers=2, width=128, heads=2)
    pod = {"topology": "v5e:2x2", "slices": 1, "model": model, "mesh": MeshShape()}
    return Program(**pod | changes)


def test_cycles_kernels_and_memory_are_read(tmp_path):
    result = estimate(program(), tmp_path)
    assert result.fits
    assert result.seconds == pytest.approx(3000 / 1.5e9)
    assert result.kernels == 1
    assert result.kernel_seconds == pytest.approx(1e-6)  # by FLOPs: 197e6 of 197e12 a second
    assert result.uncounted_kernels == 0
    assert result.hbm == (1 + 2 + 1 - 1) * GIB
    assert result.host == 7
    assert result.collectives == {"all-gather": (1, 32, 0)}


def test_a_program_larger_than_the_memory_does_not_fit(tmp_path):
    assert estimate(program(gib=13), tmp_path).fits
    assert not estimate(program(gib=14), tmp_path).fits  # of v5e's 15.75 GiB


def test_the_second_estimate_is_the_first(tmp_path, monkeypatch):
    first = estimate(program(), tmp_path)
    monkeypatch.setattr(Program, "compile", lambda _: pytest.fail("compiled again"))
    second = estimate(program(), tmp_path)
    assert json.dumps(dataclasses.asdict(second)) == json.dumps(dataclasses.asdict(first))


@pytest.mark.parametrize("content", ["", "[]", '{"unheard": 1}'])
def test_a_damaged_estimate_is_made_again(tmp_path, content):
    first = estimate(program(), tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert estimate(program(), tmp_path).hbm == first.hbm
    assert json.loads(path.read_text())["arguments"] == first.arguments


def test_the_text_is_written_and_the_cache_not_read(tmp_path):
    estimate(program(), tmp_path)
    output = tmp_path / "program.txt"
    estimate(program(), tmp_path, hlo_output=output)
    assert output.read_text() == TEXT


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
            "space hbm. Used 17.0G of 15.75G hbm. Exceeded hbm capacity by 1.3G.",
            "Ran out of memory in memory space hbm.",
        ),
        (
            "RESOURCE_EXHAUSTED: Compilation failed.\nExceeded the memory of a core",
            "Exceeded the memory of a core",
        ),
    ],
)
def test_too_little_memory_is_an_estimate_with_the_compilers_sentence(message, sentence, tmp_path):
    result = estimate(program(failure=message), tmp_path)
    assert (result.fits, result.failure) == (False, sentence)
    assert estimate(program(failure=message), tmp_path).failure == sentence


@pytest.mark.parametrize(
    "message", ["INTERNAL: Mosaic failed to compile", "RESOURCE_EXHAUSTED: too many requests"]
)
def test_other_failures_are_raised_and_not_cached(message, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        estimate(program(failure=message), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"gib": 2},
        {"topology": "v5p:2x2x1"},
        {"slices": 2},
        {"mesh": MeshShape(tensor=2)},
        {"model": DecoderConfig(vocab_size=256, layers=3, width=128, heads=2)},
    ],
    ids=str,
)
def test_every_setting_has_a_key_of_its_own(changes):
    assert cache_key(program()) == cache_key(program()) != cache_key(program(**changes))


def test_the_key_depends_on_the_code_and_on_versions(monkeypatch):
    key = cache_key(program())
    monkeypatch.setattr("codex_jax.compile.estimate._sources", lambda: "other code")
    changed = cache_key(program())
    monkeypatch.setattr("codex_jax.compile.estimate._libtpu", lambda: "9.9")
    assert len({key, changed, cache_key(program())}) == 3


def test_the_memory_of_an_estimate_leaves_aliased_outputs_out():
    result = Estimate(fits=True, arguments=10, temporaries=5, outputs=8, aliased=7)
    assert result.hbm == 16
