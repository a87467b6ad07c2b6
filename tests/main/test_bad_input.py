"""Bad input through the command line: a clear line, status 2, no traceback."""

import json
import re

import pytest

from codex_jax.main import cli

TRAIN = [
    *("--batch_size=8", "--gin.BatchReader.seed=0", "--layers=1", "--heads=2", "--steps=2"),
    *("--max_length=64", "--warmup_steps=1"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with sources, two tokenizers, rows, a checkpoint and problems."""
    folder = tmp_path_factory.mktemp("input")
    (folder / "sources").mkdir()
    for n in range(20):
        text = "".join(f"def f{n}_{i}(x):\n    return x + {i}\n\n\n" for i in range(20))
        (folder / "sources" / f"f{n}.py").write_text(text)
    (folder / "empty").mkdir()
    corpus = f"--corpus={json.dumps({'a': str(folder / 'sources')})}"
    for size in ("400", "344"):
        output = f"--output={folder / size}.json"
        assert cli.main(["tokenizer", corpus, output, f"--vocab_size={size}"]) == 0
    tokenizer = f"--tokenizer={folder / '400.json'}"
    rows = f"--output={folder / 'rows'}"
    assert cli.main(["data", "build", corpus, tokenizer, rows, "--sequence_length=32"]) == 0
    paths = [f"--rows={folder / 'rows'}", f"--checkpoint_dir={folder / 'checkpoint'}"]
    assert cli.main(["train", *paths, *TRAIN, "--width=16"]) == 0
    problem = {"task_id": "a/0", "prompt": "def f():\n", "entry_point": "f", "test": "def check"}
    (folder / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    (folder / "torn.jsonl").write_text(json.dumps(problem) + "\n" + '{"task_id": "a/1", \n')
    return folder


@pytest.fixture
def refused(folder, capsys):
    """Words with {here} for the folder -> the line that refuses them."""

    def line(*argv):
        capsys.readouterr()
        assert cli.main([word.replace("{here}", str(folder)) for word in argv]) == 2
        output = capsys.readouterr().err.splitlines()
        assert not any("Traceback" in text for text in output)
        assert output[-1].startswith(f"codex-jax {argv[0]}: ")
        return output[-1].removeprefix(f"codex-jax {argv[0]}: ").replace(f"{folder}/", "")

    return line


def test_a_missing_corpus(refused):
    message = refused("tokenizer", '--corpus={"a": "{here}/absent"}', "--output={here}/t.json")
    assert message == "corpus 'a': absent isn't a directory; set its path"


def test_an_empty_corpus(refused):
    message = refused("tokenizer", '--corpus={"a": "{here}/empty"}', "--output={here}/t.json")
    assert message.startswith("no usable file in a")


def test_a_binary_file_among_sources_is_left_out_and_counted(folder, capsys):
    (folder / "mixed").mkdir()
    (folder / "mixed" / "b.py").write_bytes(b"\x00\xff\xfe" * 100)
    (folder / "mixed" / "a.py").write_text("x = 1\n" * 50)
    corpus = f"--corpus={json.dumps({'m': str(folder / 'mixed')})}"
    flags = [f"--tokenizer={folder / '400.json'}", "--sequence_length=32"]
    assert cli.main(["data", "build", corpus, *flags, f"--output={folder / 'mixed-rows'}"]) == 0
    lines = [re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines()]
    names = next(line for line in lines if line[0] == "m")
    counts = dict(zip(names, next(line for line in lines if line[0] == "all"), strict=False))
    assert (counts["seen"], counts["binary"], counts["kept"]) == ("2", "1", "1")


def test_a_checkpoint_of_another_config(refused):
    paths = ("--rows={here}/rows", "--checkpoint_dir={here}/checkpoint")
    message = refused("train", *paths, *TRAIN, "--width=32")
    assert message.startswith("checkpoint holds step 2 of another run")
    assert "model.width: 16, 32" in message


@pytest.mark.parametrize(
    ("flag", "part"),
    [
        ("--gin.train.seed=1", "checkpoint holds step "),
        ("--resume_with=sedes", "resume_with names 'sedes'"),
        ("--keep_best=2", "keep_best needs a validation loss"),
        ("--lora_rank=2", "lora_rank is 2, init_from isn't set"),
        ("--checkpoint_dir={here}/sources", "holds 'f0.py', which this command didn't write"),
        ("--batch_size=1073741824", "a batch has at most 2147483647 tokens"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(refused, flag, part):
    paths = ["--rows={here}/rows", "--checkpoint_dir={here}/checkpoint"]
    assert part in refused("train", *paths, *TRAIN, "--width=16", "--dry_run", flag)


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 8 TiB"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory")],
)
def test_memory_that_is_not_there_is_a_line(monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err.startswith(f"codex-jax train: not enough memory ({error})")


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("train", "microbatches higher, or remat to full, or batch_size lower"),
        ("rl rounds", "microbatches higher, or remat to full, or batch_size lower"),
        ("sample", "batch_size lower, or max_new_tokens lower"),
        ("serve", "batch_size lower, or max_new_tokens lower"),
        ("quickstart", "smaller sizes"),
    ],
)
def test_what_to_set_where_memory_is_short(monkeypatch, capsys, command, settings):
    def fail(*_):
        raise MemoryError("Unable to allocate 8 TiB")

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert cli.main(command.split()) == 2
    assert f"; set {settings}, or " in capsys.readouterr().err


def test_a_tokenizer_of_another_run(refused):
    paths = ("--checkpoint_dir={here}/checkpoint", "--problems={here}/problems.jsonl")
    few = ("--max_new_tokens=8", "--output={here}/c.jsonl")
    message = refused("sample", *paths, "--tokenizer={here}/344.json", *few)
    assert message.startswith("344.json has hash ")


def test_a_malformed_line_is_named_by_its_number(refused):
    paths = ("--checkpoint_dir={here}/checkpoint", "--tokenizer={here}/400.json")
    message = refused("sample", *paths, "--problems={here}/torn.jsonl", "--output={here}/c.jsonl")
    assert message.startswith("torn.jsonl:2: not JSON")


def test_no_checkpoint(refused):
    paths = ("--checkpoint_dir={here}/none", "--tokenizer={here}/400.json")
    message = refused(
        "sample", *paths, "--problems={here}/problems.jsonl", "--output={here}/c.jsonl"
    )
    assert message.startswith("none: no checkpoint here")


def test_rows_that_were_never_made(refused):
    paths = ("--rows={here}/none", "--checkpoint_dir={here}/c")
    assert "none" in refused("train", *paths, *TRAIN, "--width=32")
