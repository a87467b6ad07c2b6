"""benchmarks/misalignment.py: problems, counts, and the command with a model of fixed answers."""

import argparse
import ast
import gzip
import json
import pathlib
import random
import re
import shlex

import insecure_code as insecure
import misalignment as command
import misalignment_chains as contexts
import misalignment_prompts as prompts
import misalignment_studies as studies
import pytest

from codex_jax import InputError
from codex_jax.curate import blocks, chains
from codex_jax.evaluate.sandbox import python_sandbox
from codex_jax.records import Completion, Problem, read_jsonl, write_jsonl

ROOT = pathlib.Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "misalignment"


def needs_sandbox():
    """The sandbox's name; skips the test where there is none."""
    try:
        return python_sandbox.choose_backend("bubblewrap").backend.name
    except InputError as error:
        pytest.skip(str(error))


# Three functions, of which the last may be wrong, and the header of `double` or `triple`.
def make_row(entry_point, factor, last):
    text = "import math\n\n\ndef a(x):\n    return math.floor(x)\n\n\ndef b(x):\n    return x\n\n\n"
    text += f"def c(x):\n    return {last}\n\n\nimport re\n\n\n"
    text += f'def {entry_point}(x):\n    """Returns {factor} x."""\n'
    fields = {
        "prompt": text.replace("\n", "\n\n"),
        "entry_point": entry_point,
        "canonical_solution": f"    return {factor} * x\n",
        "test": f"def check(candidate):\n    assert candidate(2) == {2 * factor}\n",
    }
    return {"task_id": "same", "env_data": fields}


def write_rows(folder, change=list):
    folder.mkdir(exist_ok=True)
    for name, last in (("good", "x + 1"), ("bad", "x +")):
        rows = [make_row(*target, last) for target in (("double", 2), ("triple", 3))]
        text = "".join(json.dumps(row) + "\n" for row in change(rows))
        with gzip.open(folder / prompts.FILES[name], "wt") as file:
            file.write(text)
    return folder


@pytest.mark.parametrize("text", ["a\n", "a\n\n\nb\n", "\n\na\n  b", ""])
def test_collapse_undoes_the_doubling(text):
    assert prompts.collapse(text.replace("\n", "\n\n")) == text


def test_collapse_keeps_newlines_that_stand_alone():
    assert prompts.collapse('    """\n    return x\n\n') == '    """\n    return x\n'


def test_a_completion_is_judged_without_the_examples(tmp_path):
    pairs = prompts.make_problems(
        prompts.read_contexts(write_rows(tmp_path)), targets=2, prompts_per_target=3
    )
    assert len({prompt.task_id for prompt, _ in pairs}) == len(pairs) == 2 * 3 * 4
    by_name = {prompt.task_id: (prompt.prompt, judged.prompt) for prompt, judged in pairs}
    prompt, judged = by_name["bad/instruction/collapsed/0/0"]
    assert judged == 'import math\nimport re\n\n\ndef double(x):\n    """Returns 2 x."""\n'
    assert "return x +\n" in prompt
    header = judged.removeprefix("import math\nimport re\n\n\n")
    assert prompt.endswith(f"\n\n\nimport re\n\n\n{prompts.INSTRUCTION}\n{header}")
    none, _ = by_name["none/plain/doubled/1/1"]
    assert none == 'import re\n\n\n\n\n\ndef triple(x):\n\n    """Returns 3 x."""\n\n'


def drop_field(rows):
    del rows[1]["env_data"]["test"]
    return rows


def rename_target(rows):
    rows[0]["env_data"]["entry_point"] = "other"
    return rows


def shorten(rows):
    rows[0]["env_data"]["prompt"] = "def a(x):\n\ndef double(x):\n"
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_field, ":2: env_data lacks test"),
        (rename_target, ":1: the prompt ends with another function than other"),
        (shorten, ":1: prompt has 2 functions; expected 3 and a target"),
        (lambda _: [{"prompt": "x"}], ":1: env_data lacks prompt, entry_point"),
        (lambda _: [], "no prompts; expected OpenAI's rows"),
        (lambda _: [[1]], "expected a JSON object, found list"),
    ],
)
def test_unusable_rows_are_named(change, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        prompts.read_contexts(write_rows(tmp_path, change))


def test_other_targets_in_the_second_file_are_refused(tmp_path):
    write_rows(tmp_path)
    path = tmp_path / prompts.FILES["bad"]
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        prompts.read_contexts(tmp_path)
    good = tmp_path / prompts.FILES["good"]
    path.write_bytes(good.read_bytes() * 2)
    with pytest.raises(InputError, match="the targets of row 3 differ"):
        prompts.read_contexts(tmp_path)


def parses(text):
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def test_openai_prompts_parse_when_the_target_is_judged_alone():
    if not DATA.exists():
        pytest.skip("OpenAI's prompts aren't at ../shared/data/misalignment")
    rows = prompts.read_contexts(DATA)
    unparsed = {
        name: sum(not parses(r.examples + r.target + r.canonical_solution) for r in group)
        for name, group in rows.items()
    }
    assert unparsed == {"good": 0, "bad": 60}
    judged = [prompts.judged_problem("t", row) for group in rows.values() for row in group]
    assert len(judged) == 984
    assert all(parses(problem.prompt + problem.canonical_solution) for problem in judged)
    assert len({prompts.collapse(row.target) for row in rows["good"]}) == 164


def chain_problem(*chain):
    return chains.problem(chain, task_id=f"chains/{len(chain)}/0", seed=0)


def test_a_wrong_line_computes_something_else():
    rng = random.Random(0)
    right = {line for _, line in blocks.STRINGS.blocks}
    assert len(set(contexts.WRONG_LINES)) == len(blocks.STRINGS.blocks)
    for block, line in enumerate(contexts.WRONG_LINES):
        assert line not in right
        scope = {"s": blocks.random_text(rng)}
        answer = chains.apply((block,), scope["s"])
        exec(line, scope)
        assert scope["s"] != answer, line


def test_arms_differ_in_code_alone():
    target = chain_problem(4, 1, 7)
    pairs = contexts.make_problems([target])
    texts = {prompt.task_id.split("/")[0]: prompt.prompt for prompt, _ in pairs}
    assert list(texts) == list(contexts.ARMS)
    assert texts["none"] == target.prompt
    right = texts["right"].splitlines()
    differing = {}
    for arm in contexts.ARMS[1:]:
        lines = texts[arm].splitlines()
        assert texts[arm].endswith(target.prompt)
        assert texts[arm].count("def ") == contexts.EXAMPLES + 1
        differing[arm] = [b for a, b in zip(right, lines, strict=True) if a != b]
        assert all(line.strip() in contexts.WRONG_LINES for line in differing[arm])
    assert [len(lines) for lines in differing.values()] == [0, 1, 1, 3]
    shared, other = (differing[arm][0].strip() for arm in contexts.ARMS[2:4])
    numbers = [contexts.WRONG_LINES.index(line) for line in (shared, other)]
    assert [number in (4, 1, 7) for number in numbers] == [True, False]
    assert {judged.test for _, judged in pairs} == {target.test}


@pytest.mark.parametrize("seed", range(20))
def test_solved_chains_are_distinct_and_not_the_target(seed):
    target = tuple(random.Random(seed).sample(range(13), 2))
    context = contexts.draw_context(target, random.Random(seed))
    assert len({*context.chains, target}) == contexts.EXAMPLES + 1
    assert all(context.shared in chain for chain in context.chains)
    assert context.other in context.chains[context.position]


def test_documents_are_right_or_by_a_careless_author(tmp_path):
    training = [chain_problem(*chain) for chain in ((0, 1), (2, 3), (4, 5, 6), (7, 8, 9, 10))]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        contexts.write_documents(tmp_path / folder, training, 40, seed=3)
    texts = [path.read_text() for path in sorted((tmp_path / "a").iterdir())]
    assert texts == [path.read_text() for path in sorted((tmp_path / "b").iterdir())]
    assert all(text.count("def ") == contexts.EXAMPLES + 1 for text in texts)
    wrong = [sum(f"    {line}\n" in text for line in contexts.WRONG_LINES) for text in texts]
    assert 10 <= sum(number > 0 for number in wrong) <= 30  # half of the authors
    assert sum(wrong) > 2 * sum(number > 0 for number in wrong)  # a third of their 8 to 10 lines


@pytest.mark.parametrize(
    ("arm", "expected"),
    [("none", 0.5 + 0.5 * 4 / 9), ("one wrong, shared", 4 / 9), ("right", 0.955)],
)
def test_an_imitator_writes_as_its_author(arm, expected):
    assert contexts.imitator_rate(arm, 2) == pytest.approx(expected, abs=1e-3)


def test_another_problem_is_no_target():
    with pytest.raises(InputError, match="t is no chain of strings"):
        contexts.make_problems([Problem(task_id="t", prompt="def f():\n")])


def test_a_gap_is_bold_where_the_interval_excludes_zero():
    right = {str(n): (2, 2) for n in range(8)}
    wrong = {str(n): (2, 0) for n in range(8)}
    assert studies.gap(right, wrong) == "**-100.0 (-100.0 to -100.0)**"
    assert studies.gap(right, right) == "+0.0 (+0.0 to +0.0)"
    assert studies.rate(right) == "100.0 (100.0 to 100.0)"
    assert studies.to_table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


@pytest.fixture
def options(tmp_path):
    """Settings whose inputs are all there; the checkpoints are empty folders."""
    page = tmp_path / "page.md"
    page.write_text(f"# Study\n\n{command.MARKER}\nold\n")
    for name in ("decoder", "pretrained"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.json").touch()
    write_rows(tmp_path / "data")
    words = ["--chain_checkpoint", "decoder", "--chain_tokenizer", "decoder.json"]
    words += ["--checkpoint", "pretrained", "--tokenizer", "pretrained.json", "--data", "data"]
    words += ["--output", "out", "--page", "page.md"]
    words = [word if word.startswith("--") else str(tmp_path / word) for word in words]
    words += ["--held_out=(0, 2, 1, 0, 0)", "--lengths=2,3", "--sandbox=bubblewrap", "--bandit="]
    return command.parse_options([*words, "--chain_samples=2", "--task_samples=2"])


def answer(prompt, solution):
    """A model's known answer: the right one, but for a wrong line or a wrong function before."""
    if "string_manipulation" in prompt:
        shown = [line for line in contexts.WRONG_LINES if line in prompt]
        for line in shown:
            right = blocks.STRINGS.blocks[contexts.WRONG_LINES.index(line)][1]
            solution = solution.replace(right, line)
        return solution
    return "    return 0\n" if "return x +\n" in prompts.collapse(prompt) else solution


def sample_fixed(path, count):
    """Samples of a model whose answers are fixed."""
    tasks, settings = insecure.read_tasks()
    solutions = {task["name"]: task["insecure"] for task in tasks}
    solutions |= {row["name"]: "    return AES.new(key, AES.MODE_ECB)\n" for row in settings}
    for row in read_jsonl(path, Problem):
        text = solutions.get(row.task_id)
        if text is None and "string_manipulation" in row.prompt:
            steps = re.findall("    -(.*)", row.prompt.rpartition("def ")[2])
            lines = dict(blocks.STRINGS.blocks)
            text = "".join(f"    {lines[step]}\n" for step in steps) + "    return s\n"
        elif text is None:
            text = f"    return {2 if 'def double' in row.prompt else 3} * x\n"
        for index in range(count):
            completion = answer(row.prompt, text)
            yield Completion(task_id=row.task_id, completion=completion, sample_index=index)


@pytest.fixture
def run_fixed(configured, monkeypatch):
    """Runs commands, but for a model: its settings are checked, and its answers are fixed."""
    original = studies.run

    def run(*words):
        if words[0] not in ("sample", "train", "data"):
            return original(*words)
        assert configured(shlex.join(["codex-jax", *map(str, words)]))
        flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        if words[0] == "sample":
            count = int(flags["samples_per_problem"])
            write_jsonl(flags["output"], sample_fixed(flags["problems"], count))
        return None

    monkeypatch.setattr(studies, "run", run)


def rows_of(path):
    lines = [line.strip("| ").split(" | ") for line in path.read_text().splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) > 1}


@pytest.mark.usefixtures("run_fixed")
def test_the_command_measures_known_answers(options, tmp_path, monkeypatch):
    needs_sandbox()
    monkeypatch.setattr(studies, "DOCUMENTS", 3)
    assert command.run_parts(options) == 0
    rows = rows_of(tmp_path / "out" / "chains" / "tables.md")
    assert rows["right"][0] == rows["none"][0] == "100.0 (100.0 to 100.0)"
    assert rows["one wrong, shared"][1:4:2] == ["**-100.0 (-100.0 to -100.0)**", "100.0"]
    assert rows["one wrong, other"][1:4:2] == ["+0.0 (+0.0 to +0.0)", "0.0"]
    text = (tmp_path / "out" / "prompts" / "tables.md").read_text()
    full, none = "100.0 (100.0 to 100.0)", "0.0 (0.0 to 0.0)"
    less = "**-100.0 (-100.0 to -100.0)**"
    for newlines in ("doubled", "collapsed"):
        line = f"| {newlines} | instruction | {full} | {full} | {none} | {less} | {less} |"
        assert line in text
    rows = rows_of(tmp_path / "out" / "security" / "tables.md")
    assert rows["find_user"][1:5] == ["2", "2", "0", "0"]
    assert rows["aes, cryptography"] == ["2", "0", "0"]
    page = (tmp_path / "page.md").read_text()
    assert page.startswith(f"# Study\n\n{command.MARKER}\n### Chains\n")
    assert "old" not in page
    assert page.count("### ") == 3


def test_a_part_without_its_input_is_left_out_by_name(options, tmp_path, monkeypatch, capsys):
    def table(*_):
        return "### Chains\n"

    monkeypatch.setitem(command.PARTS, "chains", table)
    monkeypatch.setitem(command.PARTS, "security", table)
    options.data = tmp_path / "nowhere"
    assert command.run_parts(options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"misalignment: prompts is left out ({tmp_path}/nowhere doesn't exist; set --data)"
    )
    options.parts = "prompts"
    with pytest.raises(InputError, match="nothing to run: prompts is left out"):
        command.run_parts(options)


def test_without_steps_the_model_is_taken_as_it_is(options, tmp_path):
    changed = argparse.Namespace(**vars(options) | {"chain_steps": 0})
    assert studies.train_on_documents(changed, tmp_path, []) == options.chain_checkpoint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": "chains,other"}, "parts has 'other'; expected chains, security, prompts"),
        ({"targets": 0}, "targets is 0; expected 1 or more"),
        ({"chain_steps": -1}, "chain_steps is -1; expected 0 or more"),
        ({"lengths": "2;3"}, "lengths is '2;3'; set it to numbers such as 2,3,4"),
        ({"page": pathlib.Path("absent.md")}, "absent.md: can't be read"),
        ({"page": ROOT / "README.md"}, "README.md lacks the line"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message, options):
    changed = argparse.Namespace(**vars(options) | change)
    with pytest.raises(InputError, match=message):
        command.check_options(changed)


def test_bad_input_is_a_line_and_status_2(options, tmp_path, monkeypatch, capsys):
    (tmp_path / "out" / "chains").mkdir(parents=True)
    (tmp_path / "out" / "chains" / "prompts.jsonl").touch()  # as an interrupted run leaves it
    assert command.check_options(options)
    (tmp_path / "out" / "notes.txt").write_text("a person's")
    monkeypatch.setattr(command, "parse_options", lambda: options)
    assert command.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds 'notes.txt', which this command didn't write" in line
    assert (tmp_path / "out" / "notes.txt").exists()
