"""Files → documents: decode, filter, deduplicate, redact; a count at every step."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

from codex_jax import ranges
from codex_jax.data.cleaning.decontamination import Decontaminator
from codex_jax.data.cleaning.filters import CheckResult, Filters, run_checks
from codex_jax.data.cleaning.pii import redact
from codex_jax.data.corpus import RENDERINGS, SourceTree, list_files, read_entry
from codex_jax.data.dedup.minhash import InMemoryDedup
from codex_jax.data.documents import Document
from codex_jax.data.examples.pairs import prose_to_code
from codex_jax.data.readers.files import File, read_files
from codex_jax.data.readers.licenses import Licenses
from codex_jax.data.stats import FileStats
from codex_jax.progress import bar

_SIMILARITY = ranges.real(0, 1, excludes_low=True, is_optional=True)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cleaning:
    """The steps that a file must pass.

    Args:
      filters: The filters by a file's text.
      exact_duplicates: Whether a text that occurred before is dropped.
      near_duplicates: Jaccard similarity from which a text is dropped; None keeps near ones.
      licenses: SPDX identifiers, or LicenseRef-… names, allowed; "*" allows any and counts
        them, None doesn't look.
      secrets: Whether keys and passwords are replaced.
      decontaminate_against: Problem files in HumanEval's format, whose text the corpus must not
        hold.
    """

    filters: Filters = Filters()  # noqa: RUF009 (frozen)
    exact_duplicates: bool = True
    near_duplicates: float | None = None
    licenses: Sequence[str] | None = None
    secrets: bool = False
    decontaminate_against: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuses names that are no licenses, and a similarity that no two texts are below."""
        ranges.check("Cleaning", self, {"near_duplicates": _SIMILARITY})
        Licenses("", self.licenses)


class Cleaner:
    """Runs the steps over any number of trees.

    Duplicates are looked for across all trees that are rendered alike.
    """

    def __init__(self, cleaning: Cleaning):
        """Reads the problem files, if any.

        Raises:
          InputError: a problem file is missing or malformed.
        """
        self._cleaning = cleaning
        self._dedup = {name: InMemoryDedup(cleaning.near_duplicates) for name in RENDERINGS}
        problem_files = cleaning.decontaminate_against
        self._decontaminator = Decontaminator(problem_files) if problem_files else None

    def documents(
        self, tree: SourceTree, stats: FileStats, desc: str = "files"
    ) -> Iterator[Document]:
        """Yields the tree's documents that pass every step, once each, ordered by path."""
        entries = bar(list(list_files(tree)), desc=desc, unit="file")
        return self.clean(read_files(tree, entries), tree, stats)

    def clean(
        self, files: Iterable[File], tree: SourceTree, stats: FileStats
    ) -> Iterator[Document]:
        """Yields those of the tree's `files` that pass every step."""
        licenses = Licenses(tree.path, self._cleaning.licenses)
        for file in files:
            text, failure = _decode(file)
            if not failure:
                checks = self._run_steps(file, text, tree.render_as, licenses, stats)
                failure = next((check.step for check in checks if not check.passed), "")
            if failure:
                stats.drop(file.path, file.language, failure)
                continue
            size = len(file.content or text.encode())
            stats.accepted[file.language] += 1
            stats.bytes[file.language] += size
            path = file.path.encode("utf-8", "backslashreplace").decode()  # it becomes a key
            document = Document(path, text, file.language, file.pairs, size)
            yield _redact(document, stats) if self._cleaning.secrets else document

    def explain(self, tree: SourceTree, name: str) -> Iterator[tuple[str, CheckResult]]:
        """Yields path and every check of what is in the tree's file `name`, failures included."""
        licenses = Licenses(tree.path, self._cleaning.licenses)
        for file in read_files(tree, [read_entry(pathlib.Path(tree.path, name), name)]):
            text, failure = _decode(file)
            readable = failure or f"{len(text)} characters"
            yield file.path, CheckResult("readable", readable, not failure)
            if not failure:
                checks = self._run_steps(file, text, tree.render_as, licenses, FileStats())
                yield from ((file.path, check) for check in checks)

    def _run_steps(
        self, file: File, text: str, render_as: str, licenses: Licenses, stats: FileStats
    ) -> Iterator[CheckResult]:
        yield from run_checks(text, file.language, self._cleaning.filters)
        if self._cleaning.licenses is not None:
            license = licenses.license_of(file.path, text, file.license)
            stats.licenses[license] += 1
            yield CheckResult("license", license, licenses.allows(license))
        if self._cleaning.exact_duplicates or self._cleaning.near_duplicates:
            label = self._dedup[render_as].find(text, file.language)
            yield CheckResult(label or "duplicates", label or "none", not label)
        if self._decontaminator:
            yield _check_contamination(self._decontaminator, file, text, stats)


def _decode(file: File) -> tuple[str, str]:
    """Returns the text, or the reason why there is none."""
    if file.reason:
        return "", file.reason
    if file.pairs:
        text = "\n".join(span.text for pair in file.pairs for span in prose_to_code(pair))
        return ("", "not UTF-8") if _SURROGATE.search(text) else (text, "")
    if b"\0" in file.content:
        return "", "binary"
    try:
        text = file.content.decode("utf-8")
    except UnicodeDecodeError:
        return "", "not UTF-8"
    return text, "" if text.strip() else "empty"


def _check_contamination(
    decontaminator: Decontaminator, file: File, text: str, stats: FileStats
) -> CheckResult:
    stats.contaminated_names.update(decontaminator.names(text))
    task = decontaminator.find(text, file.language)
    if task:
        stats.contaminated_tasks[task] += 1
    return CheckResult("contaminated", task or "no problem's words", not task)


def _redact(document: Document, stats: FileStats) -> Document:
    text, counts = redact(document.text, document.language)
    stats.redacted.update(counts)
    pairs = (
        dataclasses.replace(
            pair, prose=redact(pair.prose)[0], code=redact(pair.code, pair.language)[0]
        )
        for pair in document.pairs
    )
    return dataclasses.replace(document, text=text, pairs=tuple(pairs))
