"""The server as a process: signals, ports, keys, bad input; and its page in a browser."""

import asyncio
import dataclasses
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse

import pytest
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.load import read_card
from codex_jax.sample.serve.app import show_playground
from codex_jax.sample.serve.completion_request import ServerLimits
from codex_jax.sample.serve.serve import _fingerprint, _plan
from codex_jax.tokenizer import Tokenizer
from tests.sample.server import run_server

SIZES = [
    "--batch_size=8",
    "--gin.ServerLimits.max_prompt_tokens=64",
    "--gin.ServerLimits.max_new_tokens=32",
]


def command(trained, *more):
    flags = [f"--{name}={trained[name]}" for name in ("checkpoint_dir", "tokenizer")]
    return [sys.executable, "-m", "codex_jax", "serve", *flags, "--port=0", *SIZES, *more]


def wait_until_ready(port):
    while True:
        talk = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        talk.request("GET", "/healthz")
        if talk.getresponse().status == 200:
            return


def test_a_signal_lets_requests_in_progress_finish(trained):
    environment = os.environ | {"CODEX_JAX_API_KEYS": "first,second"}
    server = subprocess.Popen(command(trained), stderr=subprocess.PIPE, text=True, env=environment)
    try:
        lines = (re.search(r":(\d+), being compiled", line) for line in server.stderr)
        port = next((int(match.group(1)) for match in lines if match), None)
        assert port, server.wait(60)
        wait_until_ready(port)
        talk = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = {"model": "codex", "prompt": "def", "max_tokens": 32, "n": 8, "stream": True}
        body |= {"logit_bias": {"0": -100}, "temperature": 2}
        head = {"Authorization": "Bearer second"}
        talk.request("POST", "/v1/completions", json.dumps(body), head)
        answer = talk.getresponse()
        assert answer.status == 200
        server.send_signal(signal.SIGTERM)
        events = answer.read().decode().split("\n\n")
        assert events[-2] == "data: [DONE]"
        chunks = [json.loads(event[6:]) for event in events[:-2]]
        ends = [c["index"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
        assert sorted(ends) == list(range(8))
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.stderr.close()


FAILING = """
import sys
from codex_jax.main.cli import main
from codex_jax.sample.engine.engine import Engine

submit = Engine.submit

def fail(self, request):
    if request.id.startswith("cmpl-"):
        raise RuntimeError("out of\\nmemory")
    submit(self, request)

Engine.submit = fail
sys.exit(main(sys.argv[1:]))
"""


def test_a_failing_engine_answers_and_ends_the_process(trained):
    arguments = [sys.executable, "-c", FAILING, *command(trained)[3:]]
    server = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    try:
        lines = (re.search(r":(\d+), being compiled", line) for line in server.stderr)
        port = next((int(match.group(1)) for match in lines if match), None)
        assert port, server.wait(60)
        wait_until_ready(port)
        talk = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        talk.request("POST", "/v1/completions", json.dumps({"model": "codex", "prompt": "def"}))
        answer = talk.getresponse()
        assert answer.status == 500
        assert json.loads(answer.read())["error"]["type"] == "server_error"
        assert server.wait(60) == 1
        ready, message = server.stderr.read().strip().splitlines()
        assert ready.endswith(", ready")
        assert re.fullmatch(r"the engine failed at .*:\d+: RuntimeError: out of memory", message)
    finally:
        server.kill()
        server.stderr.close()


def refused(arguments):
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_bad_input_is_one_line(trained, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "set host or port" in refused(command(trained, f"--port={port}"))
    empty = tmp_path / "keys"
    empty.write_text("\n")
    assert "has no key" in refused(command(trained, f"--api_keys={empty}"))
    assert "can't be read" in refused(command(trained, f"--api_keys={tmp_path / 'none'}"))
    assert "none" in refused(command(trained, f"--checkpoint_dir={tmp_path / 'none'}"))


def page_that_waits(service):
    """The page with a picture, sent after a completion is shown; a browser waits for it."""

    async def page(request):
        playground = await show_playground(request)
        return HTMLResponse(playground.body.decode() + '<img src="/picture">')

    async def picture(_request):
        while b'finished_reason="length"' not in service.metrics.text():
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)  # for the last piece to be drawn
        return Response(b"", media_type="image/png")

    return [Route("/waiting", page), Route("/picture", picture)]


def test_the_page_streams_a_completion_in_a_browser():
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no chromium on PATH")
    with run_server(extra_routes=page_that_waits) as server:
        query = {"prompt": "012", "max_tokens": 4, "temperature": 0, "go": 1}
        link = f"http://127.0.0.1:{server.port}/waiting?{urllib.parse.urlencode(query)}"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        done = subprocess.run(
            [binary, *flags, link], check=False, capture_output=True, text=True, timeout=90
        )
    shown = done.stdout[done.stdout.index('<pre id="out">') :]
    assert '<span class="prompt">012</span>' in shown
    colored = re.findall(r'<span (?:style="[^"]*" )?title="([^"]*)"[^>]*>(.)</span>', shown)
    assert [token for _, token in colored] == list("3456")
    assert all("100.0 %" in title for title, _ in colored)
    assert "counts</option>" in done.stdout


def test_a_fingerprint_changes_with_step_dtype_quantization_and_weights(trained, tmp_path):
    bpe = Tokenizer.load(trained["tokenizer"])
    card = read_card(trained["checkpoint_dir"], None, trained["tokenizer"], bpe)
    sizes = {"max_prompt_tokens": 64, "samples_per_prompt": 1, "rows": 8, "max_new_tokens": 8}
    folder = trained["checkpoint_dir"]
    copy = shutil.copytree(folder, tmp_path / "copy")
    first = _fingerprint(folder, card, plan(**sizes))
    assert _fingerprint(str(copy), card, plan(**sizes)) == first
    next((copy / "5" / "params").glob("manifest*")).write_bytes(b"other")
    others = {
        _fingerprint(str(copy), card, plan(**sizes)),
        _fingerprint(folder, dataclasses.replace(card, step=6), plan(**sizes)),
        _fingerprint(folder, card, plan(**sizes, dtype="bfloat16")),
        _fingerprint(folder, card, plan(**sizes, weights_dtype="int8")),
        _fingerprint(folder, card, plan(**sizes, kv_cache_dtype="int8")),
    }
    assert len(others - {first}) == 5


@pytest.mark.parametrize(("most", "positions"), [(300, 360), (500, 512), (750, 768), (768, 768)])
def test_healing_adds_no_block_to_the_cache(most, positions):
    limits = ServerLimits(max_prompt_tokens=100, max_new_tokens=most)
    assert _plan(limits, 2, {"dtype": "float32"}, token_healing=True).positions == positions
    assert _plan(limits, 2, {"dtype": "float32"}, token_healing=False).positions == most
