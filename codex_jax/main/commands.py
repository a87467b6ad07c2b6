"""The table of commands: a name, the function behind it, and the objects that main makes for it."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from codex_jax import InputError
from codex_jax.suggestions import suggest


@dataclasses.dataclass(frozen=True)
class Dependency:
    """An object of another stage that main makes for a parameter, since stages never meet.

    Args:
      target: "module:class".
      provides: Maps a parameter that nobody set to the object's attribute that answers it.
    """

    target: str
    provides: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Command:
    """A row of the table.

    Args:
      name: The words after `codex-jax`; two words make a subcommand of the first.
      target: "module:function", imported only when the command runs.
      summary: A line of `codex-jax --help`.
      dependencies: Parameter → the object that main makes for it; for a parameter with a default,
        only where one of the object's settings is set.
      repeats: Whether it runs one compiled step over and over, whose memory is worth keeping.
      hosts: Those of several that run it: all together, the first while the others wait, or one
        alone, as it starts other commands.
      operand: Setting that a bare word sets, if any; other bare words are gin files.
    """

    name: str
    target: str
    summary: str
    dependencies: Mapping[str, Dependency] = dataclasses.field(default_factory=dict)
    repeats: bool = False
    operand: str = ""
    hosts: Literal["all", "first", "one"] = "first"

    @property
    def gin_name(self) -> str:
        """The function's name in gin files: "data.build"."""
        return self.name.replace(" ", ".")


_BATCHES = Dependency(
    "codex_jax.data.packing.batches:BatchReader",
    provides={"DecoderConfig.vocab_size": "vocab_size"},
)

_TASK_METRICS = Dependency("codex_jax.data.task_metrics:TaskMetrics")
_RUNNER = Dependency("codex_jax.evaluate.sandbox.program_runner:ProgramRunner")
_COMMANDER = Dependency("codex_jax.evaluate.sandbox.command_runner:CommandRunner")

# Section of `codex-jax --help` → its rows. A new command is a new row.
SECTIONS: dict[str, tuple[Command, ...]] = {
    "Start here": (
        Command(
            "quickstart",
            "codex_jax.main.quickstart:quickstart",
            "train, sample, judge and plot a small Codex on this machine",
            hosts="one",
        ),
    ),
    "Problems and data": (
        Command(
            "curate chains",
            "codex_jax.curate.chains:write_chains",
            "make problems: chains of string building blocks",
        ),
        Command(
            "curate candidates",
            "codex_jax.curate.candidates:write_candidates",
            "make problems: documented functions of packages, with inputs that are made here",
            dependencies={"runner": _RUNNER},
        ),
        Command(
            "curate traces",
            "codex_jax.curate.traces.traces:write_traces",
            "make problems: functions that packages' own tests call, with what they saw",
            dependencies={"runner": _RUNNER, "commander": _COMMANDER},
        ),
        Command(
            "curate contests",
            "codex_jax.curate.contests.contests:write_contests",
            "make problems: programming contests in the fields of APPS or CodeContests",
            dependencies={"runner": _RUNNER},
        ),
        Command(
            "curate docstrings",
            "codex_jax.curate.docstrings:write_docstrings",
            "make problems: functions with docstrings that a model of Codex-D has written",
        ),
        Command(
            "curate filter",
            "codex_jax.curate.filters.filter:filter_problems",
            "drop problems: licenses, unsolved ones, near duplicates, benchmarks",
            dependencies={"runner": _RUNNER},
        ),
        Command(
            "tokenizer",
            "codex_jax.data.train_tokenizer:learn_tokenizer",
            "learn a byte-level BPE tokenizer from source trees, Tasks or Mixtures",
        ),
        Command(
            "data build",
            "codex_jax.data.build:build",
            "clean, tokenize and pack source trees into rows of tokens",
        ),
        Command(
            "data inspect", "codex_jax.data.inspect:inspect", "show a batch of packed rows as text"
        ),
        Command(
            "data explain",
            "codex_jax.data.explain:explain",
            "show why a file would or wouldn't be in the corpus",
        ),
        Command(
            "data cache",
            "codex_jax.data.cache_command:cache_on_beam",
            "clean and tokenize on Apache Beam: here, Dataflow, Flink, Spark",
        ),
    ),
    "Models": (
        Command(
            "train",
            "codex_jax.train.loop:train",
            "train a decoder on packed rows; continues from its newest checkpoint",
            dependencies={"batches": _BATCHES, "task_metrics": _TASK_METRICS},
            repeats=True,
            hosts="all",
        ),
        Command(
            "goodput",
            "codex_jax.train.goodput:report_goodput",
            "show where the wall time of a training run went, over all its restarts",
            operand="run",
        ),
        Command(
            "rl",
            "codex_jax.rl.policy:learn",
            "improve a model by the verdicts on its own samples: policy gradients",
            repeats=True,
        ),
        Command(
            "rl rounds",
            "codex_jax.rl.rounds:run_rounds",
            "improve a model in rounds of its own right programs: sample, judge, keep, train",
            repeats=True,
        ),
        Command(
            "sweep",
            "codex_jax.main.sweep:sweep",
            "run a command over a grid of settings, a folder each; a table and a plot",
            hosts="one",
        ),
        Command(
            "compile",
            "codex_jax.compile.compile:compile_for",
            "compile a train step for a TPU topology you don't have attached",
        ),
        Command(
            "import",
            "codex_jax.convert.convert:import_weights",
            "convert Hugging Face or GGUF weights to a checkpoint",
        ),
        Command(
            "export",
            "codex_jax.convert.export:export_weights",
            "write a checkpoint as a Hugging Face folder",
        ),
    ),
    "Sampling": (
        Command(
            "sample",
            "codex_jax.sample.generate:generate",
            "complete problems with a checkpoint",
            repeats=True,
            hosts="all",
        ),
        Command(
            "sample review",
            "codex_jax.sample.review:review",
            "score completions by the prompt's log-probability after them, for evaluate select",
        ),
        Command(
            "solve",
            "codex_jax.solve.solve:solve",
            "solve prompts by pieces: steps, helpers or statements, merged by what they do",
            dependencies={"runner": _RUNNER},
            repeats=True,
        ),
        Command(
            "solve distil",
            "codex_jax.solve.distil:distil",
            "write solved prompts as training texts: one body, and helpers with a caller",
            dependencies={"runner": _RUNNER},
        ),
        Command(
            "serve",
            "codex_jax.sample.serve.serve:serve",
            "serve OpenAI's completions API with a checkpoint",
            repeats=True,
        ),
    ),
    "Evaluation": (
        Command(
            "evaluate",
            "codex_jax.evaluate.evaluate:evaluate",
            "run completions in a sandbox; verdicts and pass@k",
        ),
        Command(
            "evaluate select",
            "codex_jax.evaluate.select.select:select",
            "choose one completion of each prompt: its examples, agreement, log-probability",
            dependencies={"runner": _RUNNER},
        ),
        Command(
            "evaluate tests",
            "codex_jax.evaluate.select.model_tests:write_test_prompts",
            "write prompts for tests of a model's own, which select runs",
        ),
        Command(
            "evaluate languages",
            "codex_jax.evaluate.languages.registry:list_languages",
            "list the languages that can be judged here, and how to install the others",
        ),
        Command(
            "report",
            "codex_jax.evaluate.report.html_report:write_report",
            "write plots, tables and samples as one HTML page",
        ),
    ),
}

COMMANDS = {command.name: command for rows in SECTIONS.values() for command in rows}

# First words that are no command by themselves.
GROUPS = {
    "curate": "Makes problems to train on and to measure with.",
    "data": "Turns source trees into rows of tokens, and shows what became of them.",
}

# Former spellings, each with its present one.
_FORMER = {
    "cache": "data cache",
    "inspect": "data inspect",
    "explain": "data explain",
    "languages": "evaluate languages",
}


def select_command(words: Sequence[str]) -> tuple[Command, list[str]]:
    """Splits a command line into its command and the words after it.

    Raises:
      InputError: the words begin with no command; names the ones that come close.
    """
    for count in (2, 1):
        if command := COMMANDS.get(" ".join(words[:count])):
            return _refuse_former_flags(command, words), list(words[count:])
    first = words[0]
    if first in GROUPS:
        second = words[1] if len(words) > 1 else ""
        hint = suggest(second, subcommands(first))
        raise InputError(f"no subcommand {second!r}; write codex-jax {first} SUBCOMMAND{hint}")
    if first in _FORMER:
        raise InputError(f"{first!r} is no command; write codex-jax {_FORMER[first]}")
    raise InputError(f"no command {first!r}{suggest(first, {n.split()[0] for n in COMMANDS})}")


def _refuse_former_flags(command: Command, words: Sequence[str]) -> Command:
    if command.name == "evaluate" and {"--list-languages", "--list_languages"} & set(words):
        raise InputError("no setting --list-languages; write codex-jax evaluate languages")
    return command


def subcommands(group: str) -> dict[str, Command]:
    """Returns second word → command, of the commands that begin with the word `group`."""
    return {
        name.split()[1]: command
        for name, command in COMMANDS.items()
        if name.startswith(f"{group} ")
    }


# Extra of pyproject.toml → the packages that it brings, by their import names.
_PACKAGES = {
    "data": (
        *(
            "detect_secrets",
            "identify",
            "IPython",
            "licenseclassifier",
            "pyarrow",
            "rensa",
        ),
        *("seqio", "sentencepiece", "tensorflow", "tensorflow_text", "tree_sitter"),
        "tree_sitter_language_pack",
    ),
    "beam": ("apache_beam",),
    "gcs": ("gcsfs",),
    "report": ("matplotlib",),
    "weights": ("gguf", "safetensors"),
    "serve": ("jinja2", "prometheus_client", "starlette", "uvicorn"),
}
_EXTRAS = {package: extra for extra, packages in _PACKAGES.items() for package in packages}


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Returns a line that says how to install a missing package; None for a module of ours."""
    package = (error.name or "").split(".")[0]
    if extra := _EXTRAS.get(package):
        return f"{package} is not installed; pip install 'codex-jax[{extra}]'"
    return None


def load(target: str) -> Callable:
    """Imports the function or class that "module:name" names.

    Raises:
      InputError: its module needs a package that an extra would install.
    """
    module, name = target.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if line := missing_package(error):
            raise InputError(line) from None
        raise
