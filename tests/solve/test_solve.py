"""solve from end to end, with samples of known programs and the real sandbox."""

import json
import math
import pathlib

import pytest

from codex_jax import InputError
from codex_jax.curate import chains
from codex_jax.curate.blocks import STRINGS
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.records import Completion, Problem, read_jsonl, write_jsonl
from codex_jax.solve import sampling, solver
from codex_jax.solve import solve as solving
from codex_jax.solve.plan import MAX_STEPS

HOSTILE = [
    "    while True:\n        pass\n",
    "    return string_manipulation(s)\n",
    "    print('x' * 10**6)\n    return 1 / 0\n",
    "    return open('/etc/passwd').read() + missing\n",
    "    import os\n    os._exit(0)\n",
    "    raise SystemExit\n",
    "    return (x for x in s)\n",
    "    def f(): return f()\n    return f()\n",
    "    s.clear()\n    return s\n",
]


@pytest.fixture(scope="module")
def runner(sandbox_name):
    return ProgramRunner(sandbox=sandbox_name, timeout_s=1.0)


def samples_of(prompt):
    """Completions of a prompt of chains: mostly right, but block 4 alone is always misread."""
    texts = {text: block for block, (text, _) in enumerate(STRINGS.blocks)}
    lines = [line.strip().removeprefix("-") for line in prompt.splitlines()]
    chain = tuple(texts[line] for line in lines if line in texts)
    right = chains.solution(chain)
    bodies = [right, right, "    return s.title()\n", HOSTILE[len(prompt) % len(HOSTILE)]]
    if chain == (4,):
        bodies = ["    return s[1:]\n"] * 3
    return [(body, mass) for body, mass in zip(bodies, (0.6, 0.6, 0.1, 0.2), strict=False)]


@pytest.fixture
def known_samples(monkeypatch):
    """Stands for the sampler; keeps the settings that it was called with."""
    calls = []

    def generate(*, problems, output, **settings):
        calls.append(settings)
        completions = [
            Completion(
                task_id=problem.task_id,
                completion=body,
                sample_index=index,
                sum_logprob=math.log(mass),
                tokens=7,
            )
            for problem in read_jsonl(problems, Problem)
            for index, (body, mass) in enumerate(samples_of(problem.prompt))
        ]
        if pathlib.Path(output).exists():  # as sample does
            former = {c.task_id for c in read_jsonl(output, Completion)}
            if former != {c.task_id for c in completions}:
                raise InputError(f"{output} has samples of another run (problems differ)")
        write_jsonl(output, completions)

    monkeypatch.setattr(sampling, "generate", generate)
    monkeypatch.setattr(sampling.Sampler, "longest_prompt", 10_000)
    monkeypatch.setattr(sampling.Sampler, "count_tokens", lambda _, prompt: len(prompt))
    return calls


def run(tmp_path, runner, problems, **settings):
    write_jsonl(tmp_path / "problems.jsonl", problems)
    counts = solving.solve(
        checkpoint_dir="checkpoint",
        tokenizer="tokenizer.json",
        problems=str(tmp_path / "problems.jsonl"),
        output=str(tmp_path / "solved"),
        runner=runner,
        **{"statements": 0, **settings},
    )
    completions = list(read_jsonl(tmp_path / "solved" / "completions.jsonl", Completion))
    log = [json.loads(line) for line in (tmp_path / "solved" / "search.jsonl").open()]
    return counts, completions, log


CHAINS = [(0, 8), (8, 4, 1, 2), (1, 4, 12), tuple(range(13)), (12, 11, 4, 2, 7)]


def test_chains_are_solved_though_a_step_is_misread_alone(tmp_path, runner, known_samples):
    problems = [chains.problem(c, task_id=str(n), seed=0) for n, c in enumerate(CHAINS)]
    counts, completions, log = run(tmp_path, runner, problems, candidates=2)
    assert counts == {"solved by search": len(CHAINS)}
    first = {c.task_id: c for c in completions if c.sample_index == 0}
    for problem in problems:
        namespace: dict = {}
        exec(problem.prompt + first[problem.task_id].completion + problem.test, namespace)
        namespace["check"](namespace[problem.entry_point])
    lengths = [len(chain) for chain in CHAINS]
    windows = [sum(max(0, n - w + 1) for w in (1, 2, 3)) for n in lengths]
    assert [line["windows"] for line in log] == windows
    assert all(line["failures"] for line in log)
    samples = [sum(7 * (3 if s == (4,) else 4) for s in spans(c)) for c in CHAINS]
    assert [line["tokens"] for line in log] == samples
    assert known_samples[0]["samples_per_problem"] == 4


def spans(chain):
    return [chain[i : i + w] for w in (1, 2, 3) for i in range(len(chain) - w + 1)]


@pytest.mark.usefixtures("known_samples")
def test_nothing_of_tests_and_references_is_read(tmp_path, runner):
    def problems(**fields):
        return [
            Problem(
                task_id="a", prompt=chains.prompt((0, 2)), entry_point=STRINGS.entry_point, **fields
            )
        ]

    outputs = []
    for name, fields in {
        "without": {},
        "with": {
            "test": "SECRET = 1\n",
            "canonical_solution": "    SECRET\n",
            "extra": {"a": "SECRET"},
        },
    }.items():
        (tmp_path / name).mkdir()
        run(tmp_path / name, runner, problems(**fields))
        folder = tmp_path / name / "solved"
        outputs.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert outputs[0] == outputs[1]
    assert not any(b"SECRET" in data for data in outputs[1].values())


@pytest.mark.usefixtures("known_samples")
def test_prompts_without_a_plan_get_ordinary_samples(tmp_path, runner, capsys):
    """Each with its reason, on the terminal and in the log."""
    plain = 'def string_manipulation(s: str):\n    """Reverse it."""\n'
    unknown = 'def string_manipulation(s: Node):\n    """\n    - a\n    - b\n    """\n'
    chain = chains.prompt((2, 8))
    prompts = {"chain": chain, "plain": plain, "unknown": unknown}
    problems = [
        Problem(task_id=name, prompt=prompt, entry_point=STRINGS.entry_point)
        for name, prompt in prompts.items()
    ]
    counts, completions, _ = run(tmp_path, runner, problems)
    assert counts["solved by search"] == 1
    assert sum(counts.values()) == 3
    assert {c.task_id: c.sample_index for c in completions} == {
        "chain": 0,
        "plain": 3,
        "unknown": 3,
    }
    printed = capsys.readouterr().out
    assert "1 samples of the full prompt: no list of steps" in printed
    assert "1 samples of the full prompt: no inputs can be made" in printed


HEAD = "def string_manipulation(s: str):\n"
LIST = 'def helper(s):\n    """Do:\n    - x\n    - y\n    """\n    return s\n\n\n'
TWO = f'{LIST}{HEAD}    """Do it."""\n'
NO_PLANS = {
    "no list of steps": [
        f'{HEAD}    """Do:\n    """\n',
        f'{HEAD}    """Do:\n    1. a\n    """\n',
        TWO,
    ],
    f"a plan of 200 steps; the most are {MAX_STEPS}": [
        f'{HEAD}    """Do:\n' + "    - reverse it\n" * 200 + '    """\n'
    ],
    "the prompt ends in other, and asks for string_manipulation": [
        f'{HEAD}    return s\n\n\ndef other(s: str):\n    """Do:\n    - a\n    - b\n    """\n'
    ],
    "no inputs can be made": [
        'def string_manipulation(s: "T"):\n    """\n    - a\n    - b\n    """\n'
    ],
    "doesn't take exactly one argument": [
        f'{HEAD[:-3]}, t):\n    """\n    - a\n    - b\n    """\n'
    ],
    "the prompt doesn't end in a function's header": ["Write a function.\n", ""],
}


@pytest.mark.usefixtures("known_samples")
def test_prompts_that_no_search_can_answer_are_counted_by_their_reason(tmp_path, runner):
    prompts = [(reason, prompt) for reason, group in NO_PLANS.items() for prompt in group]
    problems = [
        Problem(task_id=str(n), prompt=prompt, entry_point=STRINGS.entry_point)
        for n, (_, prompt) in enumerate(prompts)
    ]
    counts, completions, log = run(tmp_path, runner, problems)
    assert sum(counts.values()) == len(prompts)
    assert all(reason in line["reason"] for (reason, _), line in zip(prompts, log, strict=True))
    assert {c.task_id for c in completions} == {p.task_id for p in problems}


CHAIN = chains.problem((2, 8, 1), task_id="chain", seed=0)


def test_where_no_piece_runs_the_full_prompt_is_sampled(
    tmp_path, runner, known_samples, monkeypatch
):
    monkeypatch.setitem(globals(), "samples_of", lambda _: [("    return 1 / 0\n", 0.5)] * 3)
    counts, completions, log = run(tmp_path, runner, [CHAIN])
    reason = "no piece of some step runs on the probes"
    assert counts == {f"samples of the full prompt: {reason}": 1}
    assert [(c.task_id, c.completion) for c in completions] == [("chain", "    return 1 / 0\n")] * 3
    assert (log[0]["reason"], log[0]["tokens"]) == (reason, 7 * 3 * (6 + 1))
    assert len(known_samples) == 2


@pytest.mark.usefixtures("known_samples")
def test_a_second_run_may_fail_on_other_prompts(tmp_path, runner, monkeypatch):
    """A search near its limits of time does; its files aren't another run's."""
    others = chains.problem((4, 8), task_id="other", seed=0)
    problems, solve_all = [CHAIN, others], solving._search_all
    failures: list[str] = []

    def search_all(*arguments):
        results = solve_all(*arguments)
        for result in results:
            if result.log["task_id"] in failures:
                result.completions.clear()
        return results

    monkeypatch.setattr(solving, "_search_all", search_all)
    sampled = []
    for failures[:] in (["chain"], ["other"], ["chain", "other"], ["chain"]):
        _, completions, _ = run(tmp_path, runner, problems)
        counts = {name: sum(c.task_id == name for c in completions) for name in ("chain", "other")}
        assert counts == {name: 4 if name in failures else 1 for name in counts}
        rows = read_jsonl(tmp_path / "solved" / "whole.jsonl", Problem)
        sampled.append([row.prompt for row in rows])
    both = [CHAIN.prompt, others.prompt]
    assert sampled == [both[:1], both[1:], both, both]


def test_the_prompts_examples_are_a_filter(tmp_path, runner, known_samples):
    prompt = CHAIN.prompt.replace("string:\n", "string, as string_manipulation('a b') == 'x':\n")
    problem = Problem(task_id="chain", prompt=prompt, entry_point=CHAIN.entry_point)
    counts, _, log = run(tmp_path, runner, [problem])
    (outcome,) = counts
    assert outcome.endswith("no composed program satisfies the prompt's examples")
    assert log[0]["against_examples"] > 0
    assert len(known_samples) == 2
    prompt = CHAIN.prompt.replace("string:\n", "string, as string_manipulation('A b') == 'b!a':\n")
    problem = Problem(task_id="chain", prompt=prompt, entry_point=CHAIN.entry_point)
    (tmp_path / "right").mkdir()
    counts, _, log = run(tmp_path / "right", runner, [problem])
    assert counts == {"solved by search": 1}
    assert (log[0]["examples"], log[0]["against_examples"]) == (1, 0)


@pytest.mark.usefixtures("known_samples")
def test_windows_that_are_longer_than_the_model_are_left_out(tmp_path, runner, monkeypatch):
    monkeypatch.setattr(sampling.Sampler, "longest_prompt", len(CHAIN.prompt) - 1)
    counts, _, log = run(tmp_path, runner, [CHAIN])
    assert counts == {"solved by search": 1}
    assert (log[0]["windows"], log[0]["windows_too_long"]) == (5, 1)


@pytest.mark.usefixtures("known_samples")
def test_where_nothing_fits_the_model_there_is_no_answer(tmp_path, runner, monkeypatch):
    monkeypatch.setattr(sampling.Sampler, "longest_prompt", 10)
    counts, completions, _ = run(tmp_path, runner, [CHAIN])
    assert counts == {"no answer: no piece of some step runs on the probes": 1}
    assert completions == []


def test_without_a_sandbox_nothing_is_sampled(tmp_path, known_samples):
    with pytest.raises(InputError, match="sandbox 'none'; expected one of"):
        run(tmp_path, ProgramRunner(sandbox="none"), [CHAIN])
    assert known_samples == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"windows": (2, 3)}, "windows is .2, 3.; set it to lengths from 1 to 5, 1 included"),
        ({"windows": (1, 9)}, "lengths from 1 to 5"),
        ({"windows": (1, 2, 1)}, "windows has 1 twice; set it to distinct entries"),
        ({"beam": 0}, "beam is 0; set it to a whole number, 1 or more and at most 10000"),
        ({"samples_per_window": 0}, "samples_per_window is 0"),
        ({"candidates": -1}, "candidates is -1"),
        ({"workers": -1}, "workers is -1; set it to a whole number, 0 or more and at most 1024"),
        ({"beam": 10**12}, "solve.beam is 1000000000000; set it to"),
        ({"samples_per_window": 10**9}, "solve.samples_per_window is 1000000000; set it to"),
        ({"workers": 10**6}, "solve.workers is 1000000; set it to"),
        ({"statements": 21}, "statements is 21; set it to a whole number, 0 or more and"),
    ],
)
def test_bad_settings_are_one_line(tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        run(tmp_path, None, [], **settings)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "solved").mkdir()
    (tmp_path / "solved" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        run(tmp_path, None, [])
    assert (tmp_path / "solved" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["completions.jsonl", "windows.jsonl", "whole.jsonl"])
def test_a_persons_files_are_not_replaced(tmp_path, name):
    path = tmp_path / "solved" / name
    write_jsonl(path, [Problem(task_id="a", prompt="x", extra={"completion": "mine"})])
    content = path.read_text()
    with pytest.raises(InputError, match=f"holds '{name}'"):
        run(tmp_path, None, [])
    assert path.read_text() == content


def test_an_empty_file_of_problems_is_refused(tmp_path, runner):
    with pytest.raises(InputError, match="no problems"):
        run(tmp_path, runner, [])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Problem(task_id="a", prompt="x")] * 2, "a occurs twice; expected distinct"),
        ([Problem(task_id="a", prompt="x", extra={"suffix": "y"})], "a has a suffix; leave"),
        ([Problem(task_id="a", prompt="\ud800")], "the prompt of 'a' has a lone surrogate; set it"),
    ],
)
def test_problems_that_have_no_answer_are_refused(tmp_path, rows, message):
    path = tmp_path / "problems.jsonl"
    write_jsonl(path, rows)
    with pytest.raises(InputError, match=message):
        solver.read_tasks(str(path))
