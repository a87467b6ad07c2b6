"""What --help prints."""

import shutil
import textwrap

from codex_jax.main.commands import VERBS, Verb
from codex_jax.main.schema import REQUIRED, Description

_USAGE = "[FILE.gin …] [--NAME=VALUE …] [--gin.OWNER.NAME=VALUE …] [--dry_run]"

_RULES = """Settings come from gin files, then from flags, the later over the earlier. --NAME=VALUE
sets what the verb's own table calls NAME, or else the one description below that has it;
--gin.OWNER.NAME=VALUE says whose; --gin.MACRO=VALUE sets a macro of a gin file. --dry_run checks
and shows what would run."""


def all_verbs() -> str:
    """The list of verbs."""
    width = max(map(len, VERBS))
    rows = [f"  {verb.name:{width}}  {verb.summary}" for verb in VERBS.values()]
    return "\n".join(
        [
            f"codex-jax VERB {_USAGE}",
            "",
            "An open Codex, end to end: source trees → tokens → decoder → samples → verdicts.",
            "",
            *rows,
            "",
            "codex-jax VERB --help lists all that can be set.",
        ]
    )


def one_verb(verb: Verb, descriptions: dict[str, Description]) -> str:
    """Every setting of a verb, and of what its settings take."""
    own, *others = descriptions.values()
    derived = {key: name for name, wire in verb.wires.items() for key in wire.gives}
    summary, rules = (textwrap.fill(text, _width()) for text in (own.summary, _RULES))
    blocks = [f"codex-jax {verb.name} {_USAGE}", summary, rules]
    blocks.append(_table(own, derived, title=f"Settings of {verb.name}:"))
    for other in others:
        blocks.append(_table(other, derived, title=f"{other.name}: {other.summary}"))
    return "\n\n".join(blocks)


def _table(description: Description, derived: dict[str, str], *, title: str) -> str:
    lines = textwrap.wrap(title, _width())
    for name, setting in description.settings.items():
        doc = setting.doc
        if inner := description.inner.get(name):
            head, doc = f"  {name}: {inner}", f"{doc} See {inner} below."
        elif setting.key in derived:
            head = f"  --{name}: {setting.type_name} (from {derived[setting.key]})"
        elif setting.default is REQUIRED:
            head = f"  --{name}: {setting.type_name} (required)"
        else:
            head = f"  --{name}: {setting.type_name} = {setting.default!r}"
        lines += [head, *(f"      {line}" for line in textwrap.wrap(doc, _width() - 6))]
    return "\n".join(lines)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)
