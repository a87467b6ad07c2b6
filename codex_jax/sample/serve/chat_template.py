"""A model's chat template: messages to the text that the model was tuned on."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes, sandbox
from jinja2.ext import Extension
from jinja2.parser import Parser

from codex_jax import InputError
from codex_jax.tokenizer import Tokenizer

_TEMPLATE_ERRORS = (
    *(jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError),
    RecursionError,
)
_MISSING = "this model has no chat template; use /v1/completions"


class ChatTemplate:
    """A template of Hugging Face's tokenizer_config.json, rendered as transformers does.

    Templates are programs of whoever made the model: they run in Jinja's sandbox, which has neither
    files nor attributes of Python's own.

    Args:
      tokenizer: The model's; its settings may have a template.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._encode = tokenizer.encode
        settings = tokenizer.settings
        self._specials = {
            name: _content(value)
            for name, value in settings.items()
            if name.endswith("_token") and isinstance(value, str | dict)
        }
        self._source = _default_source(settings.get("chat_template"))
        self._template: jinja2.Template | None = None

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The text that asks the model for its next message.

        Raises:
          InputError: no template, an invalid one, or messages that it refuses.
        """
        if not self._source:
            raise InputError(_MISSING)
        try:
            self._template = self._template or _environment().from_string(self._source)
            return self._template.render(
                messages=messages, add_generation_prompt=True, **self._specials
            )
        except _TEMPLATE_ERRORS as error:
            message = " ".join(str(error).split())
            raise InputError(f"the model's chat template refuses these: {message}") from None

    def encode(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """The tokens of `render`, in which names of special tokens are these tokens."""
        return self._encode(self.render(messages), specials=True)


def _default_source(template: Any) -> str:
    """The template's text; of several with names, the default one's."""
    if isinstance(template, list):
        rows = [row for row in template if isinstance(row, dict)]
        template = next((row.get("template") for row in rows if row.get("name") == "default"), None)
    return template if isinstance(template, str) else ""


def _content(token: Any) -> str:
    """The text of a special token, which a file writes as a string or as an object."""
    return token if isinstance(token, str) else str(token.get("content", ""))


def _environment() -> jinja2.Environment:
    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationBlock],
    )
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _format_now
    environment.filters["tojson"] = _to_json
    return environment


class _GenerationBlock(Extension):
    """The tag `generation`, which marks what a model is trained on: its text is as without."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The nodes between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _format_now(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    options: dict[str, Any] = {"indent": indent, "separators": separators}
    return json.dumps(value, ensure_ascii=ensure_ascii, sort_keys=sort_keys, **options)
