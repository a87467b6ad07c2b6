"""Runs many streams at once: none lost, none mixed up, memory flat.

    python benchmarks/serve_load.py runs/mine/checkpoint runs/mine/tokenizer.json

A sample depends on its prompt and seed alone, so each prompt is first completed without streaming,
and every stream, with other neighbors, must then return the same text.
"""

import argparse
import contextlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


@contextlib.contextmanager
def run_server(checkpoint: str, tokenizer: str, *more: str) -> Iterator[tuple[int, int]]:
    """(process id, port) of a server that is ready, and ends in order."""
    flags = [f"--checkpoint_dir={checkpoint}", f"--tokenizer={tokenizer}", "--port=0", *more]
    command = [sys.executable, "-m", "codex_jax", "serve", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        lines = []
        for line in server.stderr:
            lines.append(line)
            if match := re.search(r"http://[^ ]*:(\d+)", line):
                break
        else:
            raise SystemExit("".join(lines))
        threading.Thread(target=lambda: list(server.stderr), daemon=True).start()
        port = int(match.group(1))
        while send(port, "GET", "/healthz")[0] != 200:
            time.sleep(0.2)
        yield server.pid, port
        server.terminate()
        print(f"SIGTERM: exit status {server.wait(120)}")


def send(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    ) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def request_body(number: int, tokens: int) -> dict:
    prompt = f"def function_{number}(values, limit={number * 7}):\n    "
    return {"model": "codex", "prompt": prompt, "seed": number, "max_tokens": tokens}


def complete(port: int, body: dict) -> tuple[str, str]:
    """(text, finish_reason) of a completion without streaming."""
    status, answer = send(port, "POST", "/v1/completions", json.dumps(body).encode())
    if status != 200:
        raise SystemExit(f"{status}: {answer.decode()}")
    choice = json.loads(answer)["choices"][0]
    return choice["text"], choice["finish_reason"]


def stream(port: int, body: dict) -> tuple[str, str | None, float]:
    """(text, finish_reason, seconds to the first piece) of one stream, read to its end."""
    began, first, text, reason, over = time.perf_counter(), 0.0, "", None, False
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    ) as connection:
        connection.request("POST", "/v1/completions", json.dumps(body | {"stream": True}))
        for line in connection.getresponse():
            first = first or time.perf_counter() - began
            if line == b"data: [DONE]\n":
                over = True
            elif line.startswith(b"data: "):
                for choice in json.loads(line[6:])["choices"]:
                    text += choice["text"]
                    reason = choice["finish_reason"] or reason
    return text, reason if over else None, first


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


class Load:
    """Clients that stream, and their counts."""

    def __init__(self, port: int, expected: dict[int, tuple[str, str]], tokens: int):
        self.port, self.expected, self.tokens = port, expected, tokens
        self.firsts: list[float] = []
        self.lost, self.mixed, self.until = 0, 0, 0.0

    def client(self, offset: int) -> None:
        index = offset
        while time.perf_counter() < self.until:
            number = index % len(self.expected)
            try:
                text, reason, first = stream(self.port, request_body(number, self.tokens))
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                print(f"stream {number}: {error!r}")
                self.lost += 1
                continue
            self.lost += reason is None
            self.mixed += reason is not None and (text, reason) != self.expected[number]
            self.firsts.append(first)
            index += 7

    def run(self, streams: int, seconds: float, pid: int) -> list[float]:
        """Runs the clients; returns resident MiB after each second."""
        self.until = time.perf_counter() + seconds
        clients = [threading.Thread(target=self.client, args=(n,)) for n in range(streams)]
        for client in clients:
            client.start()
        memory = []
        while time.perf_counter() < self.until:
            time.sleep(1)
            memory.append(resident_mib(pid))
        for client in clients:
            client.join()
        return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("tokenizer")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--set", action="append", default=[], help="a flag of serve: NAME=VALUE")
    options = parser.parse_args()
    flags = [f"--{flag}" for flag in options.set]
    with run_server(options.checkpoint, options.tokenizer, *flags) as (pid, port):
        with ThreadPoolExecutor(options.streams) as pool:
            numbers = range(options.streams)
            answers = pool.map(
                lambda number: complete(port, request_body(number, options.tokens)), numbers
            )
            expected = dict(zip(numbers, answers, strict=True))
        load = Load(port, expected, options.tokens)
        memory = load.run(options.streams, options.seconds, pid)
        firsts = sorted(load.firsts)
        print(
            f"{options.streams} streams, {options.seconds:.0f} s: {len(firsts)} answered, "
            f"{load.lost} lost, {load.mixed} mixed up "
            f"({len(set(expected.values()))} different answers)"
        )
        print(
            f"first piece after {statistics.median(firsts):.2f} s, at most {firsts[-1]:.2f}; "
            f"resident MiB {memory[len(memory) // 6]:.0f} after a sixth, "
            f"{memory[len(memory) // 2]:.0f} at half, {memory[-1]:.0f} at the end"
        )
    if load.lost or load.mixed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
