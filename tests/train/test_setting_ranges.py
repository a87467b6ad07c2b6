"""Ranges of train: every numeric setting, wrong in every way, is one line and writes nothing."""

import dataclasses
import inspect
import math
import typing

import pytest

from codex_jax import InputError
from codex_jax.checkpoint import Retention
from codex_jax.hosts import HostLimits
from codex_jax.main import cli
from codex_jax.train.compute import Compute
from codex_jax.train.loop import train
from codex_jax.train.lora import Lora
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.runtime import Runtime
from codex_jax.train.setting_ranges import RANGES, check_ranges
from codex_jax.train.stability import Stability
from codex_jax.train.validation import Validation
from tests.train.test_loop import run

CLASSES = {c.__name__: c for c in (Optimizer, Compute, Retention, Stability, Validation)}
CLASSES |= {c.__name__: c for c in (HostLimits, Lora, Runtime)}
SETTINGS = [(owner, name) for owner, names in RANGES.items() for name in names]
ZERO_IS_FINE = {
    *(("train", name) for name in ("seed", "init_step")),
    *(("Optimizer", name) for name in ("warmup_steps", "final_fraction", "decay_fraction")),
    *(("Optimizer", name) for name in ("beta1", "beta2", "weight_decay", "clip_norm")),
    *(
        ("Compute", "z_loss"),
        ("Retention", "keep_best"),
        ("Stability", "spike_factor"),
        ("HostLimits", "slow_factor"),
        ("Lora", "lora_rank"),
        ("Validation", "early_stopping_patience"),
    ),
}


def is_numeric(hint):
    return bool({int, float} & {hint, *typing.get_args(hint)})


def test_every_numeric_setting_has_a_range():
    hints = typing.get_type_hints(train)
    own = {name for name in inspect.signature(train).parameters if is_numeric(hints[name])}
    assert own == set(RANGES["train"])
    for name, each in CLASSES.items():
        hints = typing.get_type_hints(each)
        assert {n for n, h in hints.items() if is_numeric(h)} == set(RANGES[name])


def settings(owner, name, value):
    """Arguments of train, with one setting of this value."""
    if owner == "train":
        return {name: value}
    return {"any": dataclasses.replace(CLASSES[owner](), **{name: value})}


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, "3", [1], True], ids=repr)
@pytest.mark.parametrize(("owner", "name"), SETTINGS)
def test_no_setting_takes_these(owner, name, value):
    with pytest.raises(InputError) as caught:
        check_ranges(settings(owner, name, value))
    assert str(caught.value).startswith(f"{owner}.{name} is {value!r}; set it to a ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(("owner", "name"), SETTINGS)
def test_zero_and_fractions(owner, name):
    if (owner, name) in ZERO_IS_FINE:
        check_ranges(settings(owner, name, 0))
    else:
        with pytest.raises(InputError, match=f"{owner}.{name} is 0; set it to"):
            check_ranges(settings(owner, name, 0))
    if RANGES[owner][name].is_integer:
        with pytest.raises(InputError, match=f"{owner}.{name} is 2.0; set it to a whole number"):
            check_ranges(settings(owner, name, 2.0))


def test_defaults_are_in_range():
    check_ranges({name: each() for name, each in CLASSES.items()})


def test_train_checks_before_it_writes(tmp_path):
    for wrong in ({"save_every": 0}, {"retention": Retention(keep_latest=0)}, {"steps": -3}):
        with pytest.raises(InputError, match="set it to a whole number"):
            run(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("chunks", "message"), [(3, "a divisor of the 64 tokens"), (128, "a divisor of the 64 tokens")]
)
def test_chunks_divide_the_tokens_of_a_device(tmp_path, chunks, message):
    with pytest.raises(InputError, match=f"Compute.loss_chunks is {chunks}; set it to {message}"):
        run(tmp_path, compute=Compute(loss_chunks=chunks))


@pytest.mark.parametrize(
    "flag",
    [
        *("--keep_latest=0", "--save_every=0", "--microbatches=-1", "--loss_chunks=0"),
        *("--learning_rate=1e400", "--learning_rate=nan", "--learning_rate=-1e-3"),
        *("--beta1=1", "--beta2=-0.1", "--steps=1e400", "--steps=2.5", "--steps=0"),
        *("--warmup_steps=-1", "--weight_decay=inf", "--clip_norm=many", "--log_every=0"),
        *("--batch_size=0", "--batch_size=2.0", "--spike_factor=-1", "--keep_every=0"),
        *("--init_step=-1", "--gin.train.seed=-1", "--gin.Validation.every=0"),
        *("--epsilon=1e-300", "--learning_rate=1e-46", "--lora_alpha=1e-40"),
        *(f"--log_every={10**26}", f"--save_every={2**31}", f"--gin.Validation.batches={2**40}"),
        *(f"--batch_size={10**26}", f"--batch_size={2**27}", f"--mlp_size={2**31}"),
        *(f"--vocab_multiple={10**20}", f"--max_length={2**33}", f"--keep_every={10**12}"),
    ],
)
def test_the_command_refuses_in_one_line(rows, tmp_path, capsys, flag):
    flags = [f"--rows={rows}", f"--checkpoint_dir={tmp_path / 'run'}", "--gin.BatchReader.seed=0"]
    flags += ["--layers=1", "--heads=2", "--width=16", "--max_length=64", "--warmup_steps=1"]
    status = cli.main(["train", *flags, "--batch_size=8", "--steps=2", flag])
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1
    assert flag.split("=")[0].split(".")[-1].lstrip("-") in error
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Packed rows of a small source file."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "sources").mkdir()
    text = "".join(f"def f{n}(x):\n    return x + {n}\n\n\n" for n in range(200))
    (folder / "sources" / "a.py").write_text(text)
    corpus = f'--corpus={{"a": "{folder / "sources"}"}}'
    tokenizer = folder / "tokenizer.json"
    assert cli.main(["tokenizer", corpus, f"--output={tokenizer}", "--vocab_size=400"]) == 0
    command = ["data", "build", corpus, f"--tokenizer={tokenizer}", f"--output={folder / 'rows'}"]
    assert cli.main([*command, "--sequence_length=32", "--workers=0"]) == 0
    return folder / "rows"
