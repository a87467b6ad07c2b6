"""The verbs: a name, the function behind it, and what main must hand it."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping

from codex_jax import InputError


@dataclasses.dataclass(frozen=True)
class Wire:
    """An object of another stage that main makes for a parameter, since stages never meet.

    `gives` maps a setting left unbound to the object's attribute that answers it.
    """

    target: str
    gives: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Verb:
    """One row of the table; `target` is "module:function", imported only when the verb is run.

    `repeats` says that it runs one compiled step over and over, whose memory is worth keeping.
    """

    name: str
    target: str
    summary: str
    wires: Mapping[str, Wire] = dataclasses.field(default_factory=dict)
    repeats: bool = False


_BATCHES = Wire(
    "codex_jax.data.packing.batches:BatchReader", gives={"DecoderConfig.vocab_size": "vocab_size"}
)

VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "quickstart",
            "codex_jax.main.quickstart:quickstart",
            "train, sample, judge and plot a small Codex on this machine",
        ),
        Verb(
            "curate",
            "codex_jax.curate.chains:write_chains",
            "make problems: chains of string building blocks",
        ),
        Verb(
            "tokenizer",
            "codex_jax.data.train_tokenizer:learn_tokenizer",
            "learn a byte-level BPE tokenizer from source trees",
        ),
        Verb("data", "codex_jax.data.build:build", "pack source trees into rows of tokens"),
        Verb(
            "cache",
            "codex_jax.data.cache_command:cache_on_beam",
            "clean and tokenize on Apache Beam: here, Dataflow, Flink, Spark",
        ),
        Verb("inspect", "codex_jax.data.inspect:inspect", "show a batch of packed rows as text"),
        Verb(
            "explain",
            "codex_jax.data.explain:explain",
            "say why a file would or wouldn't be in the corpus",
        ),
        Verb(
            "train",
            "codex_jax.train.loop:train",
            "train a decoder on packed rows, resuming by itself",
            wires={"batches": _BATCHES},
            repeats=True,
        ),
        Verb(
            "compile",
            "codex_jax.compile.compile:compile_for",
            "fit a train step to a TPU pod that isn't here",
        ),
        Verb(
            "sample",
            "codex_jax.sample.generate:generate",
            "complete problems with a checkpoint",
            repeats=True,
        ),
        Verb(
            "serve",
            "codex_jax.sample.serve.serve:serve",
            "answer OpenAI's completions API with a checkpoint",
            repeats=True,
        ),
        Verb(
            "import",
            "codex_jax.convert.convert:import_weights",
            "make a checkpoint of GPT-2's, Llama-like or StarCoder2's weights",
        ),
        Verb(
            "export",
            "codex_jax.convert.convert:export_weights",
            "write a checkpoint as a Hugging Face folder",
        ),
        Verb(
            "evaluate",
            "codex_jax.evaluate.evaluate:evaluate",
            "run completions in a sandbox; verdicts and pass@k",
        ),
        Verb(
            "languages",
            "codex_jax.evaluate.languages.registry:list_languages",
            "which languages evaluate can judge here, and what installs the others",
        ),
        Verb(
            "report",
            "codex_jax.evaluate.report.html_report:write_report",
            "plots, tables and samples in one HTML page",
        ),
    )
}

# `codex-jax data WORD …` is the verb on the right.
UNDER_DATA = {"build": "data", "cache": "cache", "inspect": "inspect", "explain": "explain"}

# What an absent package means to a person: the extra that brings it.
_EXTRAS = {
    "seqio": "data",
    "tensorflow": "data",
    "tensorflow_text": "data",
    "apache_beam": "beam",
    "matplotlib": "report",
    "gguf": "weights",
    "safetensors": "weights",
    "prometheus_client": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
}


def missing_package(error: ModuleNotFoundError) -> str | None:
    """One line on how to install what an import missed, or None for a module of ours."""
    package = (error.name or "").split(".")[0]
    if extra := _EXTRAS.get(package):
        return f"{package} is not installed; pip install 'codex-jax[{extra}]'"
    return None


def load(target: str) -> Callable:
    """The function or class that "module:name" names.

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
