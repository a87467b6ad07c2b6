"""JSON Lines there and back, and what is refused."""

import gzip
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax import InputError, records
from codex_jax.records import Completion, Problem, Verdict

TEXT = st.text(max_size=20)
EXTRA = st.dictionaries(TEXT.map(lambda t: "x" + t), TEXT | st.integers(), max_size=3)
COMPLETIONS = st.builds(
    Completion,
    task_id=TEXT,
    completion=TEXT,
    sample_index=st.integers(0, 99),
    mean_logprob=st.none() | st.floats(-9, 0),
    extra=EXTRA,
)
PROBLEMS = st.builds(Problem, task_id=TEXT, prompt=TEXT, test=TEXT, extra=EXTRA)
VERDICTS = st.builds(Verdict, task_id=TEXT, verdict=TEXT, seconds=st.none() | st.floats(0, 9))


@hypothesis.given(COMPLETIONS | PROBLEMS | VERDICTS)
def test_a_line_read_back_is_the_record(record):
    line = records.to_line(record)
    assert "\n" not in line
    assert records.parse_record(line, type(record), where="here") == record


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.gz"])
def test_a_file_read_back_is_the_records(tmp_path, name):
    written = [Completion(task_id="é", completion=f"x\n{i}", extra={"why": i}) for i in range(3)]
    assert records.write_jsonl(tmp_path / "new" / name, iter(written)) == 3
    assert list(records.read_jsonl(tmp_path / "new" / name, Completion)) == written
    assert [p.name for p in (tmp_path / "new").iterdir()] == [name]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.jsonl"
    records.write_jsonl(path, [Problem(task_id="a", prompt="")])

    def broken():
        yield Problem(task_id="b", prompt="")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        records.write_jsonl(path, broken())
    assert [p.task_id for p in records.read_jsonl(path, Problem)] == ["a"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_lone_surrogate_is_written_and_read_back(tmp_path):
    row = Completion(task_id="é", completion="\ud800")
    records.write_jsonl(tmp_path / "a.jsonl", [row])
    assert "é" in (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    assert list(records.read_jsonl(tmp_path / "a.jsonl", Completion)) == [row]


def test_a_humaneval_line_is_a_completion():
    line = json.dumps({"task_id": "HumanEval/0", "completion": "    return 1"})
    completion = records.parse_record(line, Completion, where="f:1")
    assert (completion.sample_index, completion.mean_logprob, completion.extra) == (0, None, {})
    assert json.loads(records.to_line(completion)).keys() >= {"task_id", "completion"}


LOGPROB = '{"task_id": "a", "completion": "", "mean_logprob": %s}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"task_id": ', "f:7: not JSON"),
        ("[1]", "f:7: expected a JSON object, found list"),
        ('{"task_id": "a"}', "f:7: Completion lacks completion"),
        ('{"task_id": 3, "completion": ""}', "f:7: task_id must be a string, found int"),
        (r'{"task_id": "\ud800", "completion": ""}', "f:7: task_id holds a lone surrogate"),
        (LOGPROB % "NaN", "f:7: mean_logprob is nan; expected a finite number, or null"),
        (LOGPROB % "-Infinity", "f:7: mean_logprob is -inf; expected a finite number, or null"),
        (LOGPROB % "1e999", "f:7: mean_logprob is inf; expected a finite number, or null"),
        (LOGPROB % '"-1"', "f:7: mean_logprob is '-1'; expected a finite number, or null"),
        (LOGPROB % "true", "f:7: mean_logprob is True; expected a finite number, or null"),
        (LOGPROB % ("-1" + "0" * 400), "f:7: mean_logprob is -1000000"),
    ],
)
def test_malformed_lines_are_refused_by_number(line, message):
    with pytest.raises(InputError) as caught:
        records.parse_record(line, Completion, where="f:7")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("record_type", "fields"),
    [
        (Problem, {"task_id": "t", "prompt": "p"}),
        (Completion, {"task_id": "t", "completion": "c"}),
        (Verdict, {"task_id": "t", "verdict": "passed"}),
    ],
)
@pytest.mark.parametrize("value", [{"prompt": "another", "a": [1]}, "text", [], 0])
def test_a_field_named_extra_is_kept_as_others_are(record_type, fields, value):
    row = fields | {"extra": value, "source": "mine"}
    record = records.parse_record(json.dumps(row), record_type, where="f:1")
    assert record.extra == {"extra": value, "source": "mine"}
    assert json.loads(records.to_line(record)).items() >= row.items()
    assert records.parse_record(records.to_line(record), record_type, where="f:1") == record


@pytest.mark.parametrize("text", ["", "\n", " \n\n"])
@pytest.mark.parametrize("record_type", [Problem, Completion, Verdict])
def test_an_input_without_records_is_named(tmp_path, text, record_type):
    (tmp_path / "a.jsonl").write_text(text)
    nouns = f"{record_type.__name__.lower()}s"
    with pytest.raises(InputError, match=f"a.jsonl: no {nouns}; expected JSON Lines of {nouns}"):
        records.read_input(tmp_path / "a.jsonl", record_type)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no such file; expected JSON Lines of Problems"):
        list(records.read_jsonl(tmp_path / "none.jsonl", Problem))


def test_passed():
    assert Verdict(task_id="a", verdict="passed").passed
    assert not Verdict(task_id="a", verdict="crashed").passed


def test_an_index_that_was_not_written_is_not_written_again(tmp_path):
    rows = [
        records.Completion(task_id="t", completion="x"),
        records.Completion(task_id="t", completion="y", sample_index=0),
    ]
    records.write_jsonl(tmp_path / "c.jsonl", rows)
    again = list(records.read_jsonl(tmp_path / "c.jsonl", records.Completion))
    assert again == rows
    assert [row.sample_index is records.UNNUMBERED for row in again] == [True, False]


GOOD = b'{"task_id": "t", "completion": "x"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "c.jsonl",
            GOOD + b'{"task_id": "\xff"}\n',
            "c.jsonl:[12] or later: a byte that is no UTF-8",
        ),
        ("c.jsonl.gz", GOOD, r"c\.jsonl\.gz:1: can't be read \(Not a gzipped file"),
        ("c.jsonl.gz", gzip.compress(GOOD * 50)[:60], "can't be read"),
        ("c.jsonl.gz", gzip.compress(GOOD)[:-6] + b"xxxxxx", "can't be read"),
        ("c.jsonl", GOOD + b"[" * 100_000, r"c\.jsonl:2: not JSON that Python reads \(maximum rec"),
        ("c.jsonl", b'{"n": ' + b"9" * 6000 + b"}", r"c\.jsonl:1: not JSON that Python reads \(Ex"),
        ("c.jsonl", GOOD + b"\n\n[1]\n", r"c\.jsonl:4: expected a JSON object, found list"),
    ],
    ids=["utf8", "no gzip", "cut gzip", "overwritten gzip", "deep", "long integer", "list"],
)
def test_a_damaged_file_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        list(records.read_jsonl(tmp_path / name, Completion))
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_and_other_ends_of_lines_are_read(tmp_path):
    (tmp_path / "c.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") * 2)
    rows = list(records.read_jsonl(tmp_path / "c.jsonl", Completion))
    assert [row.completion for row in rows] == ["x", "x"]
