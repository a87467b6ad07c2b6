"""Runs others' clients, unchanged, against `codex-jax serve`; prints a table of what each did.

    python benchmarks/serve_clients.py runs/smollm2 runs/smollm2.json

Each client is installed by one pip command in a virtual environment of its own under a temporary
folder; --environments names one to keep. Answers at temperature 0 must be those of plain requests.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from serve_load import run_server, send

from codex_jax.tokenizer import Tokenizer

PROMPT = "def add(a, b):\n"
QUESTION = "What is two plus two?"

COMPLETIONS_0_28 = """
import openai
openai.api_base, openai.api_key = URL, "none"
answer = openai.Completion.create(engine="codex", prompt=PROMPT, max_tokens=8, temperature=0)
check(answer.choices[0].text, EXPECTED)
parts = openai.Completion.create(
    engine="codex", prompt=PROMPT, max_tokens=8, temperature=0, stream=True)
check("".join(part.choices[0].text for part in parts), EXPECTED)
scored = openai.Completion.create(
    engine="codex", prompt=PROMPT, max_tokens=0, echo=True, logprobs=1)
check("".join(scored.choices[0].logprobs.tokens), PROMPT)
check([row.id for row in openai.Engine.list().data], ["codex"])
"""

COMPLETIONS = """
import openai
client = openai.OpenAI(base_url=URL, api_key="none")
answer = client.completions.create(model="codex", prompt=PROMPT, max_tokens=8, temperature=0)
check(answer.choices[0].text, EXPECTED)
parts = client.completions.create(
    model="codex", prompt=PROMPT, max_tokens=8, temperature=0, stream=True)
check("".join(part.choices[0].text for part in parts), EXPECTED)
"""

CHAT = """
import openai
client = openai.OpenAI(base_url=URL, api_key="none")
messages = [{"role": "user", "content": QUESTION}]
options = {"model": "codex", "messages": messages, "max_tokens": 8, "temperature": 0}
answer = client.chat.completions.create(**options, logprobs=True, top_logprobs=2)
check(answer.choices[0].message.content, EXPECTED_CHAT)
check("".join(row.token for row in answer.choices[0].logprobs.content), EXPECTED_CHAT)
parts = client.chat.completions.create(**options, stream=True)
check("".join(part.choices[0].delta.content or "" for part in parts), EXPECTED_CHAT)
"""

LITELLM = """
import litellm
options = {"api_base": URL, "api_key": "none", "max_tokens": 8, "temperature": 0}
answer = litellm.text_completion(model="text-completion-openai/codex", prompt=PROMPT, **options)
check(answer.choices[0].text, EXPECTED)
messages = [{"role": "user", "content": QUESTION}]
answer = litellm.completion(model="openai/codex", messages=messages, **options)
check(answer.choices[0].message.content, EXPECTED_CHAT)
parts = litellm.completion(model="openai/codex", messages=messages, stream=True, **options)
check("".join(part.choices[0].delta.content or "" for part in parts), EXPECTED_CHAT)
"""

LLM = """
import os, pathlib, subprocess, sys
folder = pathlib.Path(os.environ["LLM_USER_PATH"])
folder.mkdir(exist_ok=True)
(folder / "extra-openai-models.yaml").write_text(f'''
- {{model_id: ours, model_name: codex, api_base: "{URL}", completion: true}}
- {{model_id: chat, model_name: codex, api_base: "{URL}"}}
''')
def ask(*words):
    command = [sys.executable, "-m", "llm", *words, "--key", "none"]
    options = ["-o", "max_tokens", "8", "-o", "temperature", "0"]
    ended = subprocess.run([*command, *options], capture_output=True, text=True)
    return ended.stdout + ended.stderr
check(ask("-m", "ours", PROMPT).rstrip(), EXPECTED.rstrip())
check(ask("-m", "ours", PROMPT, "--no-stream").rstrip(), EXPECTED.rstrip())
check(ask("-m", "chat", QUESTION).rstrip(), EXPECTED_CHAT.rstrip())
"""

LM_EVAL = """
import json, os, pathlib, subprocess, sys
folder = pathlib.Path(os.environ["LLM_USER_PATH"])
folder.mkdir(exist_ok=True)
add, loop = "def add(a, b):\\n    return", "for i in"
rows = [(add, " a + b", " a - b"), (loop, " range(10):", " 7 print")]
(folder / "rows.jsonl").write_text("".join(
    json.dumps({"question": q, "choices": [right, wrong], "answer": 0}) + "\\n"
    for q, right, wrong in rows))
(folder / "ours.yaml").write_text(f'''
task: ours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder / "rows.jsonl"}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
''')
def evaluate(tokenized):
    arguments = f"model=codex,base_url={URL}/completions,tokenizer={TOKENIZER}"
    arguments += f",tokenized_requests={tokenized},num_concurrent=2"
    output = folder / str(tokenized)
    command = [sys.executable, "-m", "lm_eval", "--model", "local-completions", "--tasks", "ours"]
    command += ["--model_args", arguments, "--include_path", str(folder), "--log_samples"]
    command += ["--output_path", str(output)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(ended.stdout[-500:] + ended.stderr[-1500:])
    (path,) = output.rglob("samples_ours*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines.sort(key=lambda line: line["doc_id"])
    return [float(pair[0][0]) for line in lines for pair in line["resps"]]
text, tokens = evaluate(False), evaluate(True)
assert len(text) == 4, text
assert all(abs(a - b) < 1e-3 for a, b in zip(text, tokens)), (text, tokens)
assert all(abs(a - b) < 1e-2 for a, b in zip(text, SCORES)), (text, SCORES)
"""


class Client(NamedTuple):
    """A client: what pip installs, and a program that raises unless all is well."""

    name: str
    packages: list[str]
    program: str


CLIENTS = [
    Client("openai 0.28.1, engine=", ["openai==0.28.1"], COMPLETIONS_0_28),
    Client("openai, completions", ["openai"], COMPLETIONS),
    Client("openai, chat", ["openai"], CHAT),
    Client("litellm", ["litellm"], LITELLM),
    Client("llm", ["llm"], LLM),
    Client("lm-eval, local-completions", ["lm-eval[api]", "transformers", "datasets"], LM_EVAL),
]

CHECK = """
def check(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"
"""


def post(port: int, path: str, **body) -> dict:
    """The answer to a plain request."""
    content = {"model": "codex", "max_tokens": 8, "temperature": 0} | body
    _, answer = send(port, "POST", path, json.dumps(content).encode())
    return json.loads(answer)


def score(port: int, tokenizer: Tokenizer, question: str, answer: str) -> float:
    """The log-probability of an answer, by tokens in one echo."""
    context = tokenizer.encode(question)
    tokens = [*context, *tokenizer.encode(question + answer)[len(context) :]]
    echo = post(port, "/v1/completions", prompt=tokens, echo=True, logprobs=1, max_tokens=0)
    return sum(echo["choices"][0]["logprobs"]["token_logprobs"][len(context) :])


def expected_answers(port: int, tokenizer: Tokenizer) -> dict:
    """The constants that the clients' programs compare with."""
    messages = [{"role": "user", "content": QUESTION}]
    chat = post(port, "/v1/chat/completions", messages=messages)
    if "error" in chat:
        raise SystemExit(f"{chat['error']['message']}; take a model that has one")
    add, loop = "def add(a, b):\n    return", "for i in"
    pairs = [(add, " a + b"), (add, " a - b"), (loop, " range(10):"), (loop, " 7 print")]
    return {
        "URL": f"http://127.0.0.1:{port}/v1",
        "PROMPT": PROMPT,
        "QUESTION": QUESTION,
        "EXPECTED": post(port, "/v1/completions", prompt=PROMPT)["choices"][0]["text"],
        "EXPECTED_CHAT": chat["choices"][0]["message"]["content"],
        "SCORES": [score(port, tokenizer, *pair) for pair in pairs],
    }


def run_client(client: Client, constants: dict, folder: Path) -> tuple[str, str]:
    """("passed" or the error's last line, the client's version)."""
    environment = folder / "-".join(client.packages).replace("/", "-")
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        command = [python, "-m", "pip", "install", "--quiet", *client.packages]
        subprocess.run(command, check=True)
    program = "".join(f"{name} = {value!r}\n" for name, value in constants.items())
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {"LLM_USER_PATH": str(folder / f"user-{time.time_ns()}"), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        [python, "-c", program + CHECK + client.program],
        capture_output=True,
        text=True,
        env=variables,
        check=False,
    )
    error = (ended.stderr.strip().splitlines() or ["no message"])[-1]
    return "passed" if ended.returncode == 0 else error[:300], read_version(python, client)


def read_version(python: Path, client: Client) -> str:
    """The installed version of a client's package."""
    package = client.packages[0].split("==")[0].split("[")[0]
    code = f"from importlib.metadata import version; print(version({package!r}))"
    ended = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return ended.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="of an imported model with a chat template")
    parser.add_argument("tokenizer")
    parser.add_argument("--environments", help="folder of virtual environments to keep")
    parser.add_argument("--only", default="", help="run the clients with this in their names")
    options = parser.parse_args()
    flags = ["--gin.ServerLimits.max_prompt_tokens=128", "--gin.ServerLimits.max_new_tokens=32"]
    tokenizer, failed = Tokenizer.load(options.tokenizer), 0
    with (
        tempfile.TemporaryDirectory() as temporary,
        run_server(options.checkpoint, options.tokenizer, *flags) as (_, port),
    ):
        tokenizer.export(Path(temporary) / "tokenizer")
        constants = expected_answers(port, tokenizer)
        constants |= {"TOKENIZER": str(Path(temporary) / "tokenizer")}
        folder = Path(options.environments or temporary)
        print(f"| client | version | pip install | result |\n|{'---|' * 4}")
        for client in CLIENTS:
            if options.only in client.name:
                result, version = run_client(client, constants, folder)
                failed += result != "passed"
                packages = " ".join(client.packages)
                print(f"| {client.name} | {version} | {packages} | {result} |", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
