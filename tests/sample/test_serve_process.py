"""The server as a process: signals, ports, keys, bad input; and its page in a browser."""

import asyncio
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

from codex_jax.sample.serve.app import _playground
from tests.sample.serving import running
from tests.sample.test_generate import trained  # noqa: F401

SIZES = ["--batch_size=8", "--gin.Limits.prompt=64", "--gin.Limits.new=32"]


def command(trained, *more):  # noqa: F811
    given = [f"--{name}={trained[name]}" for name in ("checkpoint_dir", "tokenizer")]
    return [sys.executable, "-m", "codex_jax", "serve", *given, "--port=0", *SIZES, *more]


def wait_until_ready(port):
    while True:
        talk = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        talk.request("GET", "/healthz")
        if talk.getresponse().status == 200:
            return


def test_a_signal_lets_what_is_under_way_be_answered(trained):  # noqa: F811
    environment = os.environ | {"CODEX_JAX_API_KEYS": "mine,yours"}
    server = subprocess.Popen(command(trained), stderr=subprocess.PIPE, text=True, env=environment)
    try:
        lines = (re.search(r":(\d+), being compiled", line) for line in server.stderr)
        port = next((int(found.group(1)) for found in lines if found), None)
        assert port, server.wait(60)
        wait_until_ready(port)
        talk = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = {"model": "codex", "prompt": "def", "max_tokens": 32, "n": 8, "stream": True}
        body |= {"logit_bias": {"0": -100}, "temperature": 2}
        head = {"Authorization": "Bearer yours"}
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
    if request.name.startswith("cmpl-"):
        raise RuntimeError("out of\\nmemory")
    submit(self, request)

Engine.submit = fail
sys.exit(main(sys.argv[1:]))
"""


def test_an_engine_that_fails_answers_and_ends_the_process(trained):  # noqa: F811
    arguments = [sys.executable, "-c", FAILING, *command(trained)[3:]]
    server = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    try:
        lines = (re.search(r":(\d+), being compiled", line) for line in server.stderr)
        port = next((int(found.group(1)) for found in lines if found), None)
        assert port, server.wait(60)
        wait_until_ready(port)
        talk = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        talk.request("POST", "/v1/completions", json.dumps({"model": "codex", "prompt": "def"}))
        answer = talk.getresponse()
        assert answer.status == 500
        assert json.loads(answer.read())["error"]["type"] == "server_error"
        assert server.wait(60) == 1
        said = server.stderr.read().strip()
        assert re.fullmatch(r"the engine failed at .*:\d+: RuntimeError: out of memory", said)
    finally:
        server.kill()
        server.stderr.close()


def refused(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_bad_input_is_one_line(trained, tmp_path):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "turn host or port" in refused(command(trained, f"--port={port}"))
    nobody = tmp_path / "keys"
    nobody.write_text("\n")
    assert "holds no key" in refused(command(trained, f"--api_keys={nobody}"))
    assert "can't be read" in refused(command(trained, f"--api_keys={tmp_path / 'none'}"))
    assert "none" in refused(command(trained, f"--checkpoint_dir={tmp_path / 'none'}"))


def held_open(service):
    """The page with a picture that comes once a completion was shown: a browser waits for it."""

    async def page(request):
        whole = await _playground(request)
        return HTMLResponse(whole.body.decode() + '<img src="/picture">')

    async def picture(request):
        while b'finished_reason="length"' not in service.metrics.text():
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)  # for the last piece to be drawn
        return Response(b"", media_type="image/png")

    return [Route("/held", page), Route("/picture", picture)]


def test_the_page_streams_a_completion_in_a_browser():
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no chromium on PATH")
    with running(more=held_open) as server:
        wanted = {"prompt": "012", "max_tokens": 4, "temperature": 0, "go": 1}
        link = f"http://127.0.0.1:{server.port}/held?{urllib.parse.urlencode(wanted)}"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        done = subprocess.run([binary, *flags, link], capture_output=True, text=True, timeout=90)
    shown = done.stdout[done.stdout.index('<pre id="out">') :]
    assert '<span class="prompt">012</span>' in shown
    coloured = re.findall(r'<span (?:style="[^"]*" )?title="([^"]*)"[^>]*>(.)</span>', shown)
    assert [token for _, token in coloured] == list("3456")
    assert all("100.0 %" in title for title, _ in coloured)
    assert "counts</option>" in done.stdout
