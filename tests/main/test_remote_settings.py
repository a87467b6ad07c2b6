"""gs:// paths of settings: native, copied, written back, refused; and unset paths."""

import json
import pathlib

import pytest

from codex_jax import InputError
from codex_jax.main import cli, commands, schema
from codex_jax.main.remote_settings import localized

_PROBLEM = {
    "task_id": "t/0",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "test": "def check(f):\n    assert f(1) == 2\n",
}
_COMPLETION = {"task_id": "t/0", "sample_index": 0, "completion": "    return x + 1\n"}
_VERDICT = {"task_id": "t/0", "sample_index": 0, "verdict": "passed", "cause": "passed"}
_TRAIN = "train gin_configs/model/85m.gin --batch_size=2 --steps=3 --gin.BatchReader.seed=0"


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{_TRAIN} --checkpoint_dir= --rows=r", "checkpoint_dir is empty"),
        (f"{_TRAIN} --checkpoint_dir=c --rows=", "rows is empty"),
        ("sample --checkpoint_dir=c --tokenizer=t --problems=p --output=", "output is empty"),
        ("evaluate --problems=p --completions=c --output=", "output is empty"),
        ("sample --checkpoint_dir=s3://b/c --tokenizer=t --problems=p", "s3:// isn't supported"),
        ("report --problems=p --completions=c --verdicts=hdfs://x/v", "hdfs:// isn't supported"),
        ("curate chains --output=azure://x/v", "azure:// isn't supported"),
        ("quickstart --run_dir=gs://b/x", "run_dir is gs://b/x, which must be on this machine"),
        ("""sweep --command=train --output=gs://b/x "--grid={'seed':(1,2)}\"""", "must be on this"),
        (
            """tokenizer --output=t "--corpus={'x': 'gs://b/x'}\"""",
            "corpus is gs://b/x, which must",
        ),
        (
            "compile gin_configs/model/85m.gin --vocab_size=512 --topology=v5e-16 --cache_dir=gs://b/x",
            "cache_dir is gs://b/x, which must",
        ),
        ("curate candidates --packages=gs://b/x --output=o", "packages is gs://b/x, which must"),
        ("evaluate --problems=gs:// --completions=c --output=o", "expected gs://BUCKET/NAME"),
    ],
)
def test_refusals(configured, line, message):
    with pytest.raises(InputError) as caught:
        configured(f"codex-jax {line}")
    assert message in str(caught.value)


def test_texts_may_hold_anything(configured):
    line = "codex-jax report --problems=p --completions=c --verdicts=v --title=gs://all"
    assert configured(line).arguments()["title"] == "gs://all"


def test_every_path_that_is_supported_is_a_setting():
    from codex_jax.main import remote_settings as module

    names = set()
    for command in commands.COMMANDS.values():
        for configurable in schema.describe_command(command).values():
            for setting in configurable.settings.values():
                names |= {setting.name, setting.key}
    tables = (module._NATIVE, module._INPUTS, module._OUTPUTS, module._LOCAL, module._TEXTS)
    assert set().union(*tables) <= names


def test_local_paths_stay(configured):
    bound = configured("codex-jax report --problems=p --completions=c --verdicts=v --output=o")
    with localized(bound.command, bound.root) as root:
        assert root.arguments == bound.root.arguments


def test_a_report_from_a_bucket_into_it(bucket):
    bucket.write("run/problems.jsonl", lines(_PROBLEM), {})
    bucket.write("run/completions.jsonl", lines(_COMPLETION), {})
    bucket.write("run/verdicts.jsonl", lines(_VERDICT), {})
    words = ["report", "--output=gs://bucket/run/report.html"]
    words += [f"--{n}=gs://bucket/run/{n}.jsonl" for n in ("problems", "completions", "verdicts")]
    assert cli.main(words) == 0
    assert b"<html" in bucket.objects["run/report.html"].content
    assert cli.main(words) == 0  # our own page is replaced


def test_an_error_names_the_url(bucket, capsys):
    bucket.write("run/problems.jsonl", b"{\n", {})
    words = ["report", "--output=r.html", "--problems=gs://bucket/run/problems.jsonl"]
    assert cli.main([*words, "--completions=c", "--verdicts=v"]) == 2
    assert "codex-jax report: gs://bucket/run/problems.jsonl:1: not JSON" in capsys.readouterr().err
    words[2] = "--problems=gs://bucket/run/absent.jsonl"
    assert cli.main([*words, "--completions=c", "--verdicts=v"]) == 2
    assert "gs://bucket/run/absent.jsonl: no such file" in capsys.readouterr().err


def test_a_stranger_s_object_is_never_replaced(bucket, capsys):
    bucket.write("run/report.html", b"a thesis", {})
    words = ["report", "--output=gs://bucket/run/report.html", "--problems=p"]
    assert cli.main([*words, "--completions=c", "--verdicts=v"]) == 2
    assert "gs://bucket/run/report.html exists, and this command" in capsys.readouterr().err
    assert bucket.objects["run/report.html"].content == b"a thesis"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evaluate --problems=gs://b/p --completions=gs://b/c --output=gs://b/c/", "completions"),
        ("curate filter \"--problems=('gs://b/o/p',)\" --output=gs://b/o", "problems"),
        (
            "sample --checkpoint_dir=c --tokenizer=t --problems=p --output=gs://b/x "
            "--batch_output=gs://b/x",
            "batch_output",
        ),
    ],
)
def test_an_input_or_another_output_is_never_replaced(configured, line, message):
    bound = configured(f"codex-jax {line}")
    with pytest.raises(InputError, match=f"is {message}, which would be replaced; set "):
        localized(bound.command, bound.root).__enter__()


def test_problems_are_made_into_a_bucket(bucket):
    assert cli.main(["curate", "chains", "--output=gs://bucket/chains", "--train_chains=4"]) == 0
    assert [name for name in bucket.objects if name.startswith("chains/")]


def test_rows_are_built_into_a_bucket_and_read_there(bucket, tmp_path, capsys):
    source = tmp_path / "src"
    source.mkdir()
    for number in range(8):
        text = "".join(f"def f{number}_{n}(x):\n    return x + {n}\n\n\n" for n in range(30))
        (source / f"m{number}.py").write_text(text)
    corpus = f"--corpus={{'src': '{source}'}}"
    tokenizer = "--tokenizer=gs://bucket/tokenizer.json"
    assert cli.main(["tokenizer", corpus, f"--output={tokenizer[12:]}", "--vocab_size=400"]) == 0
    assert {"tokenizer.json", "tokenizer.learnt.json"} <= set(bucket.objects)
    build = ["data", "build", corpus, tokenizer, "--output=gs://bucket/rows"]
    build.append("--sequence_length=64")
    assert cli.main(build) == 0
    assert bucket.writes[-1] == "rows/meta.json"
    from codex_jax.data.packing.batches import BatchReader
    from codex_jax.data.packing.row_store import read_info

    remote = BatchReader("gs://bucket/rows", batch_size=4, seed=1)
    kept = pathlib.Path(read_local_rows(bucket, tmp_path))
    local = BatchReader(kept, batch_size=4, seed=1)
    for ours, theirs in zip(remote.batch(2), local.batch(2), strict=True):
        assert (ours == theirs).all()
    before = list(bucket.writes)
    assert cli.main(build) == 0
    assert "is up to date" in capsys.readouterr().out
    assert bucket.writes == before
    assert cli.main([*build, "--seed=3"]) == 0
    assert read_info("gs://bucket/rows").parameters["seed"] == 3
    bucket.fault = 403
    assert cli.main([*build, "--seed=4"]) == 2
    assert "; the files are in /" in capsys.readouterr().err
    bucket.fault = 0
    assert cli.main([*build, "--seed=4"]) == 0
    assert "is up to date" in capsys.readouterr().out
    assert read_info("gs://bucket/rows").parameters["seed"] == 4
    assert BatchReader("gs://bucket/rows", batch_size=4, seed=1).batch(2).tokens.any()
    assert cli.main(["data", "inspect", "--rows=gs://bucket/rows", tokenizer]) == 0
    del bucket.objects["rows/meta.json"]
    with pytest.raises(InputError, match="gs://bucket/rows: no packed rows here"):
        BatchReader("gs://bucket/rows", batch_size=4, seed=1)


def read_local_rows(bucket, folder: pathlib.Path) -> pathlib.Path:
    for name, stored in bucket.objects.items():
        if name.startswith("rows/"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stored.content)
    return folder / "rows"
