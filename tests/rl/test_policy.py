"""`codex-jax rl` from end to end with the real sandbox: resumed = straight, nothing recompiled."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

from codex_jax import InputError, checkpoint, model
from codex_jax.records import write_jsonl
from codex_jax.rl import run
from codex_jax.rl.judging import Judge, Sandbox
from codex_jax.rl.policy import learn
from codex_jax.rl.watch import StopRules
from codex_jax.sample.engine import memory
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer
from codex_jax.train import step_loop
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer
from tests.rl.conftest import SMALL, make_problem, make_problems

FAST = Optimizer(learning_rate=1e-2, warmup_steps=1, schedule="constant", weight_decay=0.0)


def params_of(folder):
    """The weights of the newest checkpoint, as bytes by name."""
    card = checkpoint.read_card(folder)
    return card.step, {k: v for k, v in card.checksums.items() if k.startswith("params/")}


def lines_of(folder):
    text = pathlib.Path(folder, "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def run_settings(settings):
    return settings | {"optimizer": FAST, "save_every": 1}


def count_compilations(monkeypatch, learn_once):
    """Runs; returns the number of compilations up to the end of each batch."""
    events, counts = [], []

    def listen(name, _, **__):
        if name.endswith("backend_compile_duration"):
            events.append(name)

    original = run.Run._run_batch

    def run_batch(self, *arguments):
        result = original(self, *arguments)
        counts.append(len(events))
        return result

    monkeypatch.setattr(run.Run, "_run_batch", run_batch)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        learn_once()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return counts


def break_sandbox(monkeypatch):
    """Has the sandbox go down at its second batch."""
    original, calls = Judge.judge, []

    def judge(self, programs):
        calls.append(len(programs))
        if len(calls) == 2:
            raise InputError("sandboxes no longer start (it is gone); expected one; run again")
        return original(self, programs)

    monkeypatch.setattr(Judge, "judge", judge)


def test_a_run_broken_twice_equals_a_straight_one(run_settings, tmp_path, monkeypatch):
    """A reward that raises and a sandbox that goes down lose nothing; nothing is recompiled."""
    rarely = run_settings | {"save_every": 100}  # the first save compiles its checksums
    straight = rarely | {"checkpoint_dir": str(tmp_path / "straight")}
    counts = count_compilations(monkeypatch, lambda: learn(**straight))
    assert counts[0] > 0
    assert counts == [counts[0]] * 3
    learn(**straight)  # nothing is left to do
    changed = {"rewards": "parses", "rollout": dataclasses.replace(SMALL, max_new_tokens=5)}
    for name, value in changed.items():
        with pytest.raises(InputError, match=f"run.{name}"):
            learn(**straight | {name: value})
    monkeypatch.setenv("CODEX_JAX_TEST_FLAG", str(tmp_path / "calls"))
    broken = rarely | {"rewards": ("tests.rl.own_rewards:raises_once",)}
    with pytest.raises(InputError, match="raised RuntimeError: once"):
        learn(**broken)
    assert checkpoint.latest_step(broken["checkpoint_dir"]) == 1
    break_sandbox(monkeypatch)
    with pytest.raises(InputError, match="sandboxes no longer start"):
        learn(**broken)
    assert checkpoint.latest_step(broken["checkpoint_dir"]) == 2
    assert learn(**broken)["step"] == 2
    assert params_of(broken["checkpoint_dir"]) == params_of(straight["checkpoint_dir"])
    names = ("step", "reward", "entropy", "loss", "grad_norm", "length", "distinct_programs")
    rows = [
        [[line[n] for n in names] for line in lines_of(x["checkpoint_dir"])]
        for x in (straight, broken)
    ]
    assert rows[0] == rows[1]
    assert [row[0] for row in rows[0]] == [0, 1, 2]
    assert list(pathlib.Path(straight["checkpoint_dir"]).glob("events.out.tfevents.*"))


def test_the_policy_learns_what_is_rewarded(run_settings):
    rollout = dataclasses.replace(SMALL, prompts_per_batch=4, samples_per_prompt=8, sampler_rows=32)
    learn(**run_settings | {"steps": 25, "rollout": rollout, "save_every": 100})
    rewards = [line["reward"] for line in lines_of(run_settings["checkpoint_dir"])]
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.5
    assert all(abs(line["ratio"] - 1) < 1e-3 for line in lines_of(run_settings["checkpoint_dir"]))


def test_several_updates_on_a_batch_are_clipped(run_settings, monkeypatch):
    looks = []
    monkeypatch.setattr(step_loop, "limit_kept_pages", lambda: looks.append(1))
    rollout = dataclasses.replace(SMALL, updates_per_batch=3, clip=(1e-4, 1e-4))
    learn(**run_settings | {"steps": 6, "rollout": rollout})
    lines = lines_of(run_settings["checkpoint_dir"])
    assert [line["step"] for line in lines] == list(range(6))
    assert len(looks) == 2  # memory is looked at after every batch
    assert ["reward" in line for line in lines] == [True, False, False] * 2
    assert max(line["clip_share"] for line in lines) > 0.2
    first, later = ([line["ratio"] for line in lines[n::3]] for n in (0, 2))
    assert max(first) < 1.001
    assert max(later) > 1.01


def test_a_hack_of_tests_that_look_at_the_type_alone_is_caught(run_settings, tmp_path):
    """Every sample is an int to the tests; the shadow cases want the sum."""
    test = "def check(candidate):\n    assert isinstance(candidate(1), int)\n"
    shadow = "def check(candidate):\n    assert candidate(1) == 7\n"
    problems = make_problems(4, test=test, extra={"shadow_test": shadow})
    write_jsonl(tmp_path / "problems.jsonl", problems.values())
    with pytest.raises(InputError, match=r"stopped at step 1: .* fail the shadow cases"):
        learn(**run_settings | {"steps": 10, "rewards": ("passes",)})
    assert checkpoint.latest_step(run_settings["checkpoint_dir"]) == 1
    with pytest.raises(InputError, match=r"stopped at step 1: .* fail the shadow cases"):
        learn(**run_settings | {"steps": 10, "rewards": ("passes",)})  # it stays stopped


def test_equal_rewards_stop_the_run_and_change_no_weight(run_settings):
    rules = StopRules(equal_batches=2)
    equal = run_settings | {"rewards": ("tests.rl.own_rewards:constant",), "steps": 9}
    with pytest.raises(InputError, match=r"stopped at step 2: .* 2 batches in a row"):
        learn(**equal | {"stop_rules": rules})
    step, sums = params_of(equal["checkpoint_dir"])
    assert step == 2
    initial = checkpoint.read_card(run_settings["init_from"]).checksums
    assert {k: v for k, v in initial.items() if k.startswith("params/")} == sums


def faulty_settings(run_settings, tmp_path):
    """Name → (changed settings, the message)."""
    other = Tokenizer.train(["x = 1\n"] * 3, vocab_size=350)
    other.save(tmp_path / "other.json")
    long = {"t/0": make_problem(0, prompt="def f(x):\n    return x + 0  #" + "y " * 90)}
    single = {"t/0": make_problem(0, test="def check(c):\n    assert c(1) == 1\n")}
    absent = {"t/0": make_problem(0, entry_point="g", canonical_solution="1\n")}
    files = {"long": long, "single": single, "absent_function": absent}
    for name, problems in files.items():
        write_jsonl(tmp_path / f"{name}.jsonl", problems.values())
    (tmp_path / "no_test.jsonl").write_text('{"task_id": "t/0", "prompt": "x", "entry_point": "f"}')
    small = dataclasses.replace(SMALL, prompts_per_batch=1)
    return {
        "tokenizer": ({"tokenizer": str(tmp_path / "other.json")}, "set tokenizer to the file"),
        "no checkpoint": ({"init_from": str(tmp_path / "none")}, "none"),
        "one folder": (
            {"checkpoint_dir": run_settings["init_from"] + "/."},
            "checkpoint_dir is init_from",
        ),
        "empty init_from": ({"init_from": ""}, "init_from is empty"),
        "long prompt": ({"problems": str(tmp_path / "long.jsonl"), "rollout": small}, "max_length"),
        "one case": ({"problems": str(tmp_path / "single.jsonl")}, "t/0: its test has 1 cases"),
        "no test": ({"problems": str(tmp_path / "no_test.jsonl")}, "t/0 lacks entry_point or test"),
        "no problems": ({"problems": str(tmp_path / "absent.jsonl")}, "no such file"),
        "group of one": (
            {"rollout": dataclasses.replace(SMALL, samples_per_prompt=1)},
            "2 or more",
        ),
        "unknown reward": ({"rewards": "passse"}, "no reward 'passse'"),
        "empty reward": ({"rewards": "passes,,parses"}, "which has an empty entry"),
        "no reward": ({"rewards": ()}, "rewards is empty"),
        "equal rewards": ({"rewards": "passes,parses,passes"}, "rewards has 'passes' twice"),
        "greedy": ({"sampling_params": SamplingParams(temperature=0.0)}, "temperature is 0"),
        "absent function": (
            {"problems": str(tmp_path / "absent_function.jsonl")},
            "t/0: neither prompt nor canonical_solution has the entry_point 'g'",
        ),
        "workers": ({"sandbox": Sandbox(workers=-1)}, "Sandbox.workers is -1"),
        "steps": ({"steps": 0}, "rl.steps is 0"),
        "many steps": ({"steps": 10**20}, "rl.steps is 100000000000000000000"),
        "updates": ({"rollout": dataclasses.replace(SMALL, updates_per_batch=2)}, "a multiple of"),
        "z loss": ({"compute": Compute(z_loss=0.1)}, "Compute.z_loss is set"),
        "too few problems": (
            {"rollout": dataclasses.replace(SMALL, prompts_per_batch=16)},
            "6 problems; set prompts_per_batch",
        ),
    }


def test_what_the_trainer_holds_is_counted(run_settings, monkeypatch):
    """Parameters, Adam's two moments and the gradients, in float32."""
    monkeypatch.setattr(memory, "usable_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"^[\d.e-]+ GB of training, weights, ") as error:
        learn(**run_settings | {"mesh": MeshShape(replica=-1, fsdp=1)})
    config = model.DecoderConfig.from_json(checkpoint.read_card(run_settings["init_from"]).model)
    size = sum(leaf.size for leaf in jax.tree.leaves(model.abstract_params(config)[0]))
    assert float(str(error.value).split()[0]) == pytest.approx(4 * 4 * size / 1e9, rel=0.01)


def test_bad_input_is_a_line_each(run_settings, tmp_path):
    for name, (changes, message) in faulty_settings(run_settings, tmp_path).items():
        folder = tmp_path / name.replace(" ", "_")
        with pytest.raises(InputError) as error:
            learn(**run_settings | {"checkpoint_dir": str(folder)} | changes)
        assert message in str(error.value), name
        assert "\n" not in str(error.value), name


def test_weights_that_are_not_finite_are_refused(run_settings, tmp_path):
    """Weights that are no numbers are refused, since the sampler would wait for ever."""
    card = checkpoint.read_card(run_settings["init_from"])
    config = model.DecoderConfig.from_json(card.model)
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    params = params | {"embedding": params["embedding"].at[0, 0].set(np.nan)}
    with checkpoint.Checkpoints(tmp_path / "nan") as saved:
        new = checkpoint.Card(model=card.model, tokenizer_hash=card.tokenizer_hash)
        saved.save(1, params, {"step": 1}, new)
    with pytest.raises(InputError, match="nan holds weights that are NaN or infinite; set init_fr"):
        learn(**run_settings | {"init_from": str(tmp_path / "nan")})
