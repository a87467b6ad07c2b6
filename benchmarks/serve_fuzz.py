"""Sends malformed requests: each must get a proper 4xx, and the server must survive.

    python benchmarks/serve_fuzz.py runs/mine/checkpoint runs/mine/tokenizer.json --requests 10000

Each is a valid request with one error, drawn from a seed that is printed.
"""

import argparse
import collections
import http.client
import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serve_load import run_server, send

GOOD = {"model": "codex", "prompt": "def f(", "max_tokens": 2}
VALUES = {
    "string": ["", "x", "\ud800", "é\0", "9" * 400, "0" * 30 + "5", "9" * 5000, "1e999"],
    "number": [-1e308, 1e308, 1.5, -(1 << 70), 10**300, -1, 10**400, -(10**400), 1 << 64],
    "flag": [True, False],
    "list": [[], [None], [[]], [{}], [True], ["\ud800", 1], [[-1]], [1 << 64]],
    "object": [{}, {"a": 1}, {"": None}, {"1": "2"}, {"include_usage": 1}],
}
# The JSON types of each field; any other type is malformed.
TAKES = {
    "model": {"string"},
    "prompt": {"string", "list"},
    "suffix": {"string"},
    "max_tokens": {"number"},
    "temperature": {"number"},
    "top_p": {"number"},
    "n": {"number"},
    "best_of": {"number"},
    "stream": {"flag"},
    "stream_options": {"object"},
    "logprobs": {"number"},
    "echo": {"flag"},
    "stop": {"string", "list"},
    "presence_penalty": {"number"},
    "frequency_penalty": {"number"},
    "logit_bias": {"object"},
    "seed": {"number"},
    "user": {"string"},
}
LONG = [{"0" * 12 + "5": 1}, {"9" * 5000: 1}, {"1": 10**400}, {"1": "9" * 5000}, {"1": 1e308}]
OUT_OF_RANGE = {
    "max_tokens": [-1, 1 << 30, 0.5, 10**400],
    "temperature": [-0.1, 2.01, 1e308, 10**400],
    "top_p": [-1, 1.01, 10**400],
    "n": [0, -1, 1 << 40, 1.5, 10**400],
    "best_of": [0, 1 << 40, 10**400],
    "logprobs": [-1, 6, 2.5, 10**400],
    "presence_penalty": [-2.1, 2.1, 10**400],
    "frequency_penalty": [-2.1, 2.1, -(10**400)],
    "seed": [0.5, 1 << 63, 10**400],
    "prompt": [[], [[]], [-1], [1 << 40], ["a", 1], [["a"]], ["\ud800"], "\ud800", "x y " * 9000],
    "stop": [[""], [1], ["a"] * 17, "\ud800", [["a"]]],
    "logit_bias": [{"x": 1}, {"1": 101}, {"1": None}, {"-1": 1}, {"²": 1}, {"1" * 30: 1}, *LONG],
    "stream_options": [{"include_usage": True}, {"include_usage": "yes"}, {"other": True}],
    "model": ["gpt-4", "", "\ud800", "a" * 9000],
}
UNKNOWN = [
    "temprature",
    "top_k",
    "messages",
    "functions",
    "response_format",
    "",
    "\ud800",
    "x" * 999,
]


def wrong_type(draw: random.Random) -> bytes:
    field = draw.choice(list(TAKES))
    type_name = draw.choice([name for name in VALUES if name not in TAKES[field]])
    return json.dumps(GOOD | {field: draw.choice(VALUES[type_name])}).encode()


def out_of_range(draw: random.Random) -> bytes:
    field = draw.choice(list(OUT_OF_RANGE))
    return json.dumps(GOOD | {field: draw.choice(OUT_OF_RANGE[field])}).encode()


def unknown_field(draw: random.Random) -> bytes:
    value = draw.choice(VALUES[draw.choice(list(VALUES))])
    return json.dumps(GOOD | {draw.choice(UNKNOWN): value}).encode()


def no_object(draw: random.Random) -> bytes:
    type_name = draw.choice([name for name in VALUES if name != "object"])
    return json.dumps(draw.choice([*VALUES[type_name], None])).encode()


def torn(draw: random.Random) -> bytes:
    body = json.dumps(GOOD).encode()
    return body[: draw.randrange(len(body))]


def noise(draw: random.Random) -> bytes:
    return b"\xff" + draw.randbytes(draw.randrange(300))


def odd_json(draw: random.Random) -> bytes:
    depth = draw.choice([1000, 100_000])
    odd = [b"[" * depth, b'{"a":' * depth, b'{"temperature": NaN}', b'{"n": -Infinity}']
    odd += [b"9" * 10_000, b'{"seed": ' + b"9" * 10_000 + b"}", b"{} {}", b"{'model': 1}"]
    return draw.choice([*odd, json.dumps(GOOD).encode("utf-16"), b"[" * depth + b"]" * depth])


def too_long(_draw: random.Random) -> bytes:
    return b" " * (5 << 20)


BODIES: list[tuple[Callable[[random.Random], bytes], int]] = [
    (wrong_type, 40),
    (out_of_range, 30),
    (unknown_field, 10),
    (no_object, 5),
    (torn, 5),
    (noise, 5),
    (odd_json, 5),
]
PATHS = [("POST", "/v1/chat/completions"), ("PUT", "/v1/completions"), ("GET", "/v1/models/%ff")]
PATHS += [("DELETE", "/"), ("GET", "/v1/completions"), ("GET", "/../etc/passwd"), ("BREW", "/x")]


def send_one(port: int, number: int, seed: int) -> tuple[str, int, str]:
    """(name of the error, status, the fault of the response or "")."""
    draw = random.Random(f"{seed} {number}")
    method, path, name, body = "POST", "/v1/completions", "too_long", b""
    if number % 20 == 0:
        method, path = draw.choice(PATHS)
        name = f"{method} {path}"
    elif number % 1000 == 1:
        body = too_long(draw)
    else:
        make = draw.choices([make for make, _ in BODIES], [weight for _, weight in BODIES])[0]
        name, body = make.__name__, make(draw)
    try:
        status, answer = send(port, method, path, body)
    except (OSError, http.client.HTTPException) as error:
        return name, 0, f"{error!r}: {body[:200]!r}"
    return name, status, fault_of(status, answer, body)


def fault_of(status: int, answer: bytes, body: bytes) -> str:
    try:
        error = json.loads(answer)["error"]
        proper = set(error) == {"message", "type", "param", "code"} and "\n" not in error["message"]
    except (ValueError, KeyError, TypeError):
        proper = False
    return "" if proper and 400 <= status < 500 else f"{status} {answer[:200]!r}: {body[:200]!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("tokenizer")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with run_server(options.checkpoint, options.tokenizer) as (_, port):
        with ThreadPoolExecutor(8) as pool:
            numbers = range(1, options.requests + 1)
            results = list(pool.map(lambda number: send_one(port, number, options.seed), numbers))
        wrong = [problem for _, _, problem in results if problem]
        counts = collections.Counter(status for _, status, _ in results)
        print(f"{len(results)} malformed requests (seed {options.seed}): {dict(counts)}")
        print(f"{len(wrong)} without a proper refusal", *wrong[:20], sep="\n")
        alive = (
            send(port, "GET", "/healthz")[0],
            send(port, "POST", "/v1/completions", json.dumps(GOOD).encode()),
        )
        print(f"then: /healthz {alive[0]}, a good request {alive[1][0]}")
    if wrong or alive[0] != 200 or alive[1][0] != 200:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
