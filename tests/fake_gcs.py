"""A local server of Cloud Storage's JSON API: objects in memory, with generations and conditions.

Written from docs.cloud.google.com/storage/docs/json_api/v1. It serves TensorStore, gcsfs and
google-cloud-storage. PyPI's gcp-storage-emulator knows no ifGenerationMatch, on which TensorStore's
writes depend. `python -m tests.fake_gcs PORT` serves until it is ended.
"""

import contextlib
import email
import email.policy
import http.server
import itertools
import json
import os
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import NamedTuple

BUCKET = "bucket"


class Object(NamedTuple):
    content: bytes
    generation: int


class RefusalError(Exception):
    """An answer with an error status."""


class Store:
    """Objects of one bucket by name; every write has the next generation."""

    def __init__(self):
        self.objects: dict[str, Object] = {}
        self.writes: list[str] = []
        self.fault = 0  # status with which every write is answered, while it is set
        self.faults = 0  # writes that are answered by 503 before one succeeds
        self._numbers = itertools.count(1_000_000)
        self._lock = threading.Lock()

    def clear(self) -> None:
        with self._lock:
            self.objects.clear()
            self.writes.clear()
            self.fault = self.faults = 0

    def _check(self, name: str, query: dict[str, str]) -> None:
        present = self.objects.get(name)
        generation = present.generation if present else 0
        if (match := query.get("ifGenerationMatch")) and int(match) != generation:
            raise RefusalError(412)
        unwanted = query.get("ifGenerationNotMatch")
        if unwanted and int(unwanted) == generation:
            raise RefusalError(304)

    def write(self, name: str, content: bytes, query: dict[str, str]) -> dict:
        with self._lock:
            if self.fault:
                raise RefusalError(self.fault)
            if self.faults:
                self.faults -= 1
                raise RefusalError(503)
            self._check(name, query)
            self.objects[name] = Object(content, next(self._numbers))
            self.writes.append(name)
            return self.describe(name)

    def read(self, name: str, query: dict[str, str]) -> Object:
        with self._lock:
            if name not in self.objects:
                raise RefusalError(404)
            self._check(name, query)
            return self.objects[name]

    def delete(self, name: str, query: dict[str, str]) -> None:
        with self._lock:
            if name not in self.objects:
                raise RefusalError(404)
            self._check(name, query)
            del self.objects[name]

    def describe(self, name: str) -> dict:
        content, generation = self.objects[name]
        return {
            "kind": "storage#object",
            "id": f"{BUCKET}/{name}/{generation}",
            "name": name,
            "bucket": BUCKET,
            "size": str(len(content)),
            "generation": str(generation),
            "metageneration": "1",
            "timeCreated": "2026-01-01T00:00:00.000Z",
            "updated": "2026-01-01T00:00:00.000Z",
        }

    def list(self, query: dict[str, str]) -> dict:
        """A page of all objects: their number is small."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, prefixes = [], {}
        with self._lock:
            for name in sorted(self.objects):
                if not name.startswith(prefix) or name < query.get("startOffset", ""):
                    continue
                end = query.get("endOffset", "")
                if end and name >= end:
                    continue
                rest = name[len(prefix) :]
                if delimiter and delimiter in rest:
                    folder = prefix + rest.split(delimiter)[0] + delimiter
                    if not (folder == name and query.get("includeTrailingDelimiter")):
                        prefixes[folder] = None
                        continue
                items.append(self.describe(name))
        return {"kind": "storage#objects", "items": items, "prefixes": list(prefixes)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store
    uploads: dict[str, tuple[str, dict[str, str], bytes]]

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, content: bytes | dict, status: int = 200, **headers: str) -> None:
        body = json.dumps(content).encode() if isinstance(content, dict) else content
        self.send_response(status)
        is_json = isinstance(content, dict)
        self.send_header("Content-Type", "application/json" if is_json else "text/plain")
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def _serve(self) -> None:
        parsed = urllib.parse.urlsplit(self.path)
        query = {k: v[0] for k, v in urllib.parse.parse_qs(parsed.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._route(parsed.path, query, body)
        except RefusalError as refusal:
            status = refusal.args[0]
            self._answer({"error": {"code": status, "message": f"refused: {status}"}}, status)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815  the library's names

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path.startswith("/upload/"):
            if f"/b/{BUCKET}/" not in path:
                raise RefusalError(404)
            return self._upload(query, body)
        if path.startswith("/batch/"):
            return self._batch(body)
        match = re.fullmatch(r"(?:/download)?/storage/v1/b/([^/]+)(?:/o(?:/(.*))?)?", path)
        if not match or match[1] != BUCKET:
            raise RefusalError(404)
        if not match[2]:
            is_list = path.endswith("/o")
            bucket = {"kind": "storage#bucket", "name": BUCKET, "id": BUCKET}
            return self._answer(self.store.list(query) if is_list else bucket)
        return self._object(match[2], query)

    def _object(self, path: str, query: dict[str, str]) -> None:
        if "/rewriteTo/b/" in path or "/copyTo/b/" in path:
            source, _, rest = re.split(r"/(rewriteTo|copyTo)/b/", path)
            target = urllib.parse.unquote(rest.split("/o/", 1)[1])
            content = self.store.read(urllib.parse.unquote(source), {}).content
            resource = self.store.write(target, content, query)
            return self._answer({"done": True, "resource": resource})
        if "/moveTo/o/" in path:
            source, target = map(urllib.parse.unquote, path.split("/moveTo/o/"))
            content = self.store.read(source, {}).content
            resource = self.store.write(target, content, query)
            self.store.delete(source, {})
            return self._answer(resource)
        name = urllib.parse.unquote(path)
        if self.command == "DELETE":
            self.store.delete(name, query)
            return self._answer(b"", 204)
        found = self.store.read(name, query)
        if query.get("alt") != "media":
            return self._answer(self.store.describe(name))
        return self._media(found)

    def _media(self, stored: Object) -> None:
        size = len(stored.content)
        headers = {"x_goog_generation": str(stored.generation)}
        if not (span := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))):
            return self._answer(stored.content, **headers)
        start = int(span[1]) if span[1] else size - int(span[2])
        stop = min(int(span[2]) + 1, size) if span[1] and span[2] else size
        if start >= size:
            raise RefusalError(416)
        headers["Content_Range"] = f"bytes {start}-{stop - 1}/{size}"
        return self._answer(stored.content[start:stop], 206, **headers)

    def _upload(self, query: dict[str, str], body: bytes) -> None:
        if upload_id := query.get("upload_id"):
            return self._continue_upload(upload_id, body)
        name = query.get("name", "")
        if query.get("uploadType") == "multipart":
            message = self._parse(self.headers["Content-Type"], body)
            fields, content = (part.get_payload(decode=True) for part in message.iter_parts())
            name = json.loads(fields).get("name", name)
            return self._answer(self.store.write(name, content, query))
        if query.get("uploadType") == "resumable":
            name = name or json.loads(body)["name"]
            upload_id = str(len(self.uploads))
            self.uploads[upload_id] = (name, query, b"")
            host = self.headers["Host"]
            location = f"http://{host}/upload/storage/v1/b/{BUCKET}/o?upload_id={upload_id}"
            return self._answer({}, Location=location)
        return self._answer(self.store.write(name, body, query))

    def _continue_upload(self, upload_id: str, body: bytes) -> None:
        name, query, content = self.uploads[upload_id]
        content += body
        self.uploads[upload_id] = (name, query, content)
        if self.headers.get("Content-Range", "").endswith("/*"):
            return self._answer(b"", 308, Range=f"bytes=0-{len(content) - 1}")
        return self._answer(self.store.write(name, content, query))

    def _batch(self, body: bytes) -> None:
        """Deletes: gcsfs sends those of a folder together."""
        message, answers = self._parse(self.headers["Content-Type"], body), []
        for part in message.iter_parts():
            path = part.get_payload().strip().split()[1]
            name = urllib.parse.unquote(urllib.parse.urlsplit(path).path.split("/o/", 1)[1])
            status = "204 No Content"
            try:
                self.store.delete(name, {})
            except RefusalError:
                status = "404 Not Found"
            answers.append(
                "--batch\r\nContent-Type: application/http\r\n"
                f"Content-ID: <response-{part['Content-ID'].strip('<>')}>\r\n\r\n"
                f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n\r\n"
            )
        content = ("".join(answers) + "--batch--").encode()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/mixed; boundary=batch")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @staticmethod
    def _parse(content_type: str, body: bytes) -> email.message.EmailMessage:
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        return email.message_from_bytes(head + body, policy=email.policy.HTTP)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that left has no answer."""


@contextlib.contextmanager
def serve(port: int = 0) -> Iterator[tuple[Store, str]]:
    """Serves within the block; yields the bucket's store and the server's address."""
    store = Store()
    handler = type("BucketHandler", (Handler,), {"store": store, "uploads": {}})
    with Server(("localhost", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield store, f"http://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def environment(address: str) -> dict[str, str]:
    """Variables with which a process uses the server."""
    names = ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL")
    others = {"NO_GCE_CHECK": "true", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    return dict(os.environ) | dict.fromkeys(names, address) | others


if __name__ == "__main__":
    with serve(int(sys.argv[1])) as (_, url):
        print(url, flush=True)
        threading.Event().wait()
