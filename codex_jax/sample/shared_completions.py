"""The completions of a run on one host or several: each writes a part, host 0 puts them together.

The parts are beside the output, NAME.part-0 and so on. Whatever a killed run left is taken into the
output by the next one, on any number of hosts, before the rest is dealt anew.
"""

import contextlib
import functools
import gzip
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import jax

from codex_jax import InputError
from codex_jax.files import atomic_write
from codex_jax.hosts import exchange
from codex_jax.records import Completion, read_jsonl
from codex_jax.remote.mirror import Mirror, name_pattern, split_name
from codex_jax.remote.paths import is_remote
from codex_jax.sample.completions_file import CompletionsFile, differences
from codex_jax.sample.engine.requests import Request

# A mounted bucket may show a folder as it was a minute ago.
SHARED_WITHIN_SECONDS = 180.0
_Key = tuple[str, int]


class SharedCompletions:
    """The file of completions that all hosts of a run fill together, within a `with` block.

    On several hosts, `output` is in a folder or bucket that all of them see.
    """

    def __init__(self, output: str, manifest: dict[str, Any]):
        """Opens nothing yet.

        Args:
          output: JSON Lines, a local path or gs://.
          manifest: Everything that the samples depend on.
        """
        self._output = output
        self._manifest = manifest
        self._index, self._count = jax.process_index(), jax.process_count()
        self._stack = contextlib.ExitStack()
        self._mirror: Mirror | None = None
        self.path = pathlib.Path(output)
        self.done: set[_Key] = set()
        self._main: CompletionsFile | None = None
        self._part: CompletionsFile | None = None

    def __enter__(self) -> "SharedCompletions":  # noqa: PYI034 - beartype checks no Self in a hook
        with contextlib.ExitStack() as stack:
            self._stack = stack
            if is_remote(self._output):
                folder, name = split_name(self._output)
                self._mirror = stack.enter_context(Mirror(folder, name_pattern(name), prefix=name))
                self.path = self._mirror.root / name
            self._compare_manifests()
            keys = self._tell("begun", self._begin)
            self.done = self._read_together(keys)
            if self._count > 1:
                part = CompletionsFile(self._part_path(self._index), self._manifest)
                self._part = stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(error_type, error, traceback)

    def _compare_manifests(self) -> None:
        """Refuses hosts whose samples would be of different runs."""
        facts = {name: _shorten(value) for name, value in self._manifest.items()}
        tables = list(map(json.loads, exchange("manifests", json.dumps(facts))))
        for index, table in enumerate(tables):
            if differing := differences(tables[0], table):
                name, expected, value = differing[0]
                raise InputError(
                    f"the hosts don't agree: {name} is {expected} on host 0, {value} on host "
                    f"{index}; set the same on every host"
                )

    def _read_together(self, keys: str) -> set[_Key]:
        """Returns the samples in the output; a host that doesn't see them ends all of them."""
        done, fault = set[_Key](), ""
        try:
            done = self._await_view("has other samples", lambda: self._read_done(keys))
        except InputError as error:
            fault = str(error)
        if faults := [text for text in exchange("output read", fault) if text]:
            raise InputError(faults[0])
        return done

    def _tell(self, subject: str, act: Callable[[], str]) -> str:
        """Returns the text of an act of host 0 on every host; its error ends all of them."""
        text, refusal = "", None
        if self._index == 0:
            try:
                text = act()
            except InputError as error:
                refusal = error
        words = json.dumps([text, refusal is not None])
        text, is_refused = json.loads(exchange(f"output {subject}", words)[0])
        if refusal:
            raise refusal
        if is_refused:
            raise InputError("host 0 stopped: its message says why")
        return text

    def _begin(self) -> str:
        self._main = self._stack.enter_context(CompletionsFile(self.path, self._manifest))
        self._take_parts(self._main)
        return _digest(self._main.done)

    def _take_parts(self, main: CompletionsFile) -> None:
        """Appends the parts' completions to the output, and removes them."""
        for path in self._list_parts():
            if path.name.endswith(".job.json"):
                continue
            with CompletionsFile(path, self._manifest):  # repairs its last line
                pass
            for completion in read_jsonl(path, Completion):
                main.append(completion)
        main.flush()
        if self._mirror:
            self._mirror.push()
        for path in self._list_parts():
            path.unlink()
        if self._mirror:
            self._mirror.push()

    def _list_parts(self) -> list[pathlib.Path]:
        return sorted(self.path.parent.glob(f"{_escape(self.path.name)}.part-*"))

    def _part_path(self, index: int) -> pathlib.Path:
        return self.path.with_name(f"{self.path.name}.part-{index}{self.path.suffix}")

    def _read_done(self, digest: str) -> set[_Key] | None:
        if self._main:
            return self._main.done
        if not self.path.exists():
            return None
        try:
            done = {(row.task_id, row.sample_index) for row in read_jsonl(self.path, Completion)}
        except InputError:
            return None
        return done if _digest(done) == digest else None

    def _await_view(self, fault: str, read: Callable[[], Any]) -> Any:
        """Returns what is read once it is as the other hosts wrote it.

        Raises:
          InputError: it never is: the folder isn't the other hosts'.
        """
        end = time.monotonic() + SHARED_WITHIN_SECONDS
        while True:
            if self._mirror and self._index > 0:
                self._mirror.pull()
            if (value := read()) is not None:
                return value
            if time.monotonic() > end:
                raise InputError(
                    f"{self._output} {fault} here than on another host; set output to a folder "
                    "that all hosts share, or to gs://BUCKET/NAME"
                )
            time.sleep(0.2)

    def deal(self, requests: Sequence[Request]) -> list[Request]:
        """Returns this host's share of the requests: runs of samples, as many on each host."""
        pairs = [(number, sample) for number, r in enumerate(requests) for sample in r.samples]
        start, stop = (len(pairs) * n // self._count for n in (self._index, self._index + 1))
        samples: dict[int, list[int]] = {}
        for number, sample in pairs[start:stop]:
            samples.setdefault(number, []).append(sample)
        return [requests[n]._replace(samples=indices) for n, indices in samples.items()]

    def append(self, completion: Completion) -> None:
        """Adds a line, unless the sample is in the file; `flush` makes it durable."""
        self._file.append(completion)

    def flush(self) -> None:
        """Writes everything appended to disk.

        Raises:
          InputError: the disk refused it.
        """
        self._file.flush()

    @property
    def _file(self) -> CompletionsFile:
        file = self._part or self._main
        assert file  # within the block
        return file

    def finish(self, requests: Sequence[Request]) -> int:
        """Puts the parts together, in the order of the requests; waits for all hosts.

        Returns:
          The number of samples in the file.
        """
        self.flush()
        written = 0
        if self._part:
            self._part.close()
            written = len(self._part.done)
        if self._mirror:
            self._mirror.push()
        counts = list(map(int, exchange("output written", str(written))))
        return int(self._tell("finished", lambda: self._merge(requests, counts)))

    def _merge(self, requests: Sequence[Request], counts: Sequence[int]) -> str:
        assert self._main
        if self._count > 1:
            if self._mirror:
                self._mirror.pull()
            for index, count in enumerate(counts):
                self._await_view("has fewer samples", functools.partial(self._has, index, count))
            self._take_parts(self._main)
        order = [(request.id, index) for request in requests for index in request.samples]
        sort_lines(self.path, order)
        if self._mirror:
            self._mirror.push()
        return str(len(self._main.done))

    def _has(self, index: int, count: int) -> bool | None:
        path = self._part_path(index)
        try:
            return sum(1 for _ in read_jsonl(path, Completion)) >= count or None
        except InputError:
            return None


def _digest(done: set[_Key]) -> str:
    return hashlib.sha256(json.dumps(sorted(done)).encode()).hexdigest()


def _shorten(value: Any) -> str:
    """Returns a value's text, or the hash of a long one."""
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 100 else hashlib.sha256(text.encode()).hexdigest()[:16]


def _escape(name: str) -> str:
    return name.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def sort_lines(path: pathlib.Path, order: Sequence[_Key]) -> None:
    """Writes a file of completions anew in this order, those that it doesn't name last.

    A file that is in order is left alone.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    ranks = {key: rank for rank, key in enumerate(order)}

    def rank(line: bytes) -> int:
        fields = json.loads(line)
        return ranks.get((fields["task_id"], fields.get("sample_index", 0)), len(ranks))

    ordered = sorted(lines, key=rank)
    if ordered != lines:
        content = b"".join(ordered)
        is_gzip = path.suffix == ".gz"
        atomic_write(path, gzip.compress(content, mtime=0) if is_gzip else content)
