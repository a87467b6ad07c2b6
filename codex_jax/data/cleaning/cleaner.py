"""Files → documents: decode, filter, deduplicate, replace secrets; a count at every step."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from codex_jax.data.cleaning.decontamination import Contamination
from codex_jax.data.cleaning.filters import Filters, Finding, findings
from codex_jax.data.cleaning.pii import replace_secrets
from codex_jax.data.corpus import KINDS, Entry, Tree, list_files
from codex_jax.data.dedup.minhash import Duplicates
from codex_jax.data.examples.pairs import Pair, prose_to_code
from codex_jax.data.readers.files import File, read_files
from codex_jax.data.readers.licenses import Licences
from codex_jax.progress import bar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cleaning:
    """Which steps a file must pass.

    Args:
      filters: The filters by a file's text.
      exact_duplicates: Whether a text that occurred before is dropped.
      near_duplicates: Jaccard similarity from which a text is dropped; None keeps near ones.
      licences: SPDX identifiers allowed; "*" allows any and counts them, None doesn't look.
      secrets: Whether keys and passwords are replaced.
      against: Problem files in HumanEval's format, whose text the corpus must not hold.
    """

    filters: Filters = Filters()  # noqa: RUF009 (frozen)
    exact_duplicates: bool = True
    near_duplicates: float | None = None
    licences: Sequence[str] | None = None
    secrets: bool = False
    against: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Document:
    """One text; `path` is relative to its tree, with "/"."""

    path: str
    text: str
    language: str
    pairs: tuple[Pair, ...] = ()
    size: int = 0  # of the file, in bytes


@dataclasses.dataclass
class Tally:
    """What became of a tree's files: `dropped` by (language, reason), `kept` by language.

    `bytes` are those of the files kept.

    Each dropped file is a line of `log`, where there is one: tree, path and reason, with tabs.
    """

    name: str = ""
    log: TextIO | None = None
    kept: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    dropped: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    bytes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    replaced: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    licences: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    tasks_hit: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    names_hit: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def drop(self, path: str, language: str, reason: str) -> None:
        """Counts and logs one file that is left out."""
        self.dropped[language, reason] += 1
        if self.log:
            self.log.write(f"{self.name}\t{path!r}\t{reason}\n")

    def reasons(self) -> collections.Counter[str]:
        """Files dropped by reason, in all languages."""
        counts: collections.Counter[str] = collections.Counter()
        for (_, reason), count in self.dropped.items():
            counts[reason] += count
        return counts


class Cleaner:
    """Runs the steps over any number of trees; duplicates are looked for across those of a kind."""

    def __init__(self, cleaning: Cleaning):
        """Reads the problem files, if any.

        Raises:
          InputError: a problem file is missing or malformed, or a licence is unknown.
        """
        self._cleaning = cleaning
        self._duplicates = {kind: Duplicates(cleaning.near_duplicates) for kind in KINDS}
        self._contamination = Contamination(cleaning.against) if cleaning.against else None

    def documents(self, tree: Tree, tally: Tally, what: str = "files") -> Iterator[Document]:
        """The tree's documents that pass every step, once each, in the order of their paths."""
        entries = bar(list(list_files(tree)), desc=what, unit="file")
        return self.clean(read_files(tree, entries), tree, tally)

    def clean(self, files: Iterable[File], tree: Tree, tally: Tally) -> Iterator[Document]:
        """Those of the tree's `files` that pass every step."""
        licences = Licences(tree.path, self._cleaning.licences)
        for file in files:
            text, failed = self._read(file)
            for finding in () if failed else self._steps(file, text, tree.kind, licences, tally):
                if not finding.stays:
                    failed = finding.step
                    break
            if failed:
                tally.drop(file.path, file.language, failed)
                continue
            size = len(file.content or text.encode())
            tally.kept[file.language] += 1
            tally.bytes[file.language] += size
            document = Document(file.path, text, file.language, file.pairs, size)
            yield _without_secrets(document, tally) if self._cleaning.secrets else document

    def explain(self, tree: Tree, name: str) -> Iterator[tuple[str, Finding]]:
        """Path and findings of what is in the tree's file `name`, beyond the first failure too."""
        licences = Licences(tree.path, self._cleaning.licences)
        path = pathlib.Path(tree.path, name)
        for file in read_files(tree, [Entry(name, path.stat().st_size)]):
            text, failed = self._read(file)
            yield file.path, Finding("readable", failed or f"{len(text)} characters", not failed)
            if not failed:
                steps = self._steps(file, text, tree.kind, licences, Tally())
                yield from ((file.path, finding) for finding in steps)

    @staticmethod
    def _read(file: File) -> tuple[str, str]:
        """Text, or why there is none."""
        if file.reason:
            return "", file.reason
        if file.pairs:
            text = "\n".join(part.text for pair in file.pairs for part in prose_to_code(pair))
            return text, ""
        if b"\0" in file.content:
            return "", "binary"
        try:
            text = file.content.decode("utf-8")
        except UnicodeDecodeError:
            return "", "not UTF-8"
        return text, "" if text.strip() else "empty"

    def _steps(
        self, file: File, text: str, tree_kind: str, licences: Licences, tally: Tally
    ) -> Iterator[Finding]:
        yield from findings(text, file.language, self._cleaning.filters)
        if self._cleaning.licences is not None:
            licence = licences.of(file.path, text, file.licence)
            tally.licences[licence] += 1
            yield Finding("licence", licence, licences.allows(licence))
        if self._cleaning.exact_duplicates or self._cleaning.near_duplicates:
            kind = self._duplicates[tree_kind].find(text)
            yield Finding(kind or "duplicates", kind or "none", not kind)
        if self._contamination:
            yield self._contaminated(text, tally)

    def _contaminated(self, text: str, tally: Tally) -> Finding:
        tally.names_hit.update(self._contamination.names(text))
        task = self._contamination.find(text)
        if task:
            tally.tasks_hit[task] += 1
        return Finding("contaminated", task or "no problem's words", not task)


def _without_secrets(document: Document, tally: Tally) -> Document:
    text, counts = replace_secrets(document.text)
    tally.replaced.update(counts)
    pairs = (
        dataclasses.replace(pair, prose=replace_secrets(pair.prose)[0], code=code)
        for pair in document.pairs
        for code, _ in [replace_secrets(pair.code)]
    )
    return dataclasses.replace(document, text=text, pairs=tuple(pairs))
