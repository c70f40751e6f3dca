"""A server with a Batch API on loopback: a state machine on disk, in front of answers made by hashes.

All it knows is in its folder, so a server begun anew in the folder goes on. `plans.json` lists what
becomes of the batches that are submitted next; a batch without a plan is completed when it is looked at.
"""

import json
import random
import socket
import threading
import time
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from curate.llm.settings import LLM
from tests.llm.made import _fill, _random
from tests.llm.serving import FORCED, completion, prompt_of

REASONS = {
    "expired": ("batch_expired", "This request was not executed before the window ended."),
    "cancelled": ("batch_cancelled", "This request was not executed before it was cancelled."),
}


def answer(body):
    """Return the reply to one request: of its schema if it has one; one answer in ten is cut off."""
    draw = _random(json.dumps(body, sort_keys=True))
    if "response_format" not in body:
        return completion(f"answer to {prompt_of(body)[-40:]}", chat="messages" in body)
    schema = body["response_format"]["json_schema"]["schema"]
    if schema["properties"].keys() == FORCED.keys():
        return completion(json.dumps(FORCED), chat="messages" in body)
    text = json.dumps(_fill(schema, draw, prompt_of(body)[-400:].split()))
    if draw.random() < 0.1:
        return completion(text[:-5], "length", chat="messages" in body)
    return completion(text, chat="messages" in body)


class BatchServer:
    """The server, from `with` to its end; it may be started again.

    :param serves: the paths that it answers at once too.
    """

    def __init__(self, folder, serves=("/v1/chat/completions",)):
        self.folder, self.serves = folder, serves
        self.port = 0
        self.lock = threading.RLock()
        for name in ("files", "batches"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        self.server.daemon_threads = True
        self.server.state, self.server.ended = self, False
        self.server.handle_error = lambda *_: None  # of clients that were killed
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.ended = True  # also for connections that are open
        self.server.shutdown()
        self.server.server_close()

    def restart(self):
        """End, and begin anew at the same address."""
        self.__exit__()
        self.__enter__()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def llm(self, **settings):
        """Return settings that name this server."""
        return LLM(backend="openai-batch", model="made", url=self.url, **settings)

    # -- what the test says, and sees --------------------------------------------------------

    def plan(self, *plans):
        """Say what becomes of the next batches.

        `end`: the status at the end. `answered`: how many lines are answered before it. `errors`: HTTP
        status by number of a line. `lost`: numbers of lines that are in no file. `looks`: how often it
        is looked at before it is at its end. `create`: an HTTP status instead of a batch; `drop`: the
        batch is made, but the connection breaks; `hang`: .., but nothing is told. `cut`: its output hangs
        after so many bytes. `failure`: code and message where `end` is `failed`.
        """
        self._write("plans.json", [*self._read("plans.json", []), *plans])

    def batches(self):
        """Return the batches in the order in which they were made."""
        found = [json.loads(path.read_text()) for path in (self.folder / "batches").glob("*.json")]
        return sorted(found, key=lambda batch: batch["number"])

    def keys(self, batch):
        """Return the `custom_id` of each request of a batch."""
        lines = (self.folder / "files" / batch["input_file_id"]).read_text().splitlines()
        return {json.loads(line)["custom_id"] for line in lines}

    def paid(self):
        """Count how often each request of a batch was answered, by `custom_id`."""
        path = self.folder / "paid"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def asked_at_once(self):
        """Return the bodies of what was asked alone, without the questions what the server can do."""
        path = self.folder / "alone.jsonl"
        bodies = map(json.loads, path.read_text().splitlines()) if path.exists() else []
        return [b for b in bodies if b["max_tokens"] > 1 and "quokka" not in json.dumps(b)]

    # -- files -------------------------------------------------------------------------------

    def _read(self, name, default=None):
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else default

    def _write(self, name, content):
        path = self.folder / name
        temporary = path.with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_text(json.dumps(content))
        temporary.rename(path)

    def _append(self, name, text):
        with (self.folder / name).open("a") as file:
            file.write(text)

    # -- requests ----------------------------------------------------------------------------

    def get(self, handler, path, query):
        parts = path.removeprefix("/v1/").split("/")
        if parts[0] == "files":
            return self.content(handler, parts[1])
        if len(parts) == 1:
            return self.list(handler, query)
        batch = self._read(f"batches/{parts[1]}.json")
        if batch is None:
            return handler.error(404, "no such batch")
        if batch["status"] in ("validating", "in_progress"):
            self.advance(batch)
            self._write(f"batches/{batch['id']}.json", batch)
        return handler.reply(batch)

    def list(self, handler, query):
        found = self.batches()[::-1]
        ids = [batch["id"] for batch in found]
        start = ids.index(query["after"][0]) + 1 if "after" in query else 0
        page = found[start : start + min(int(query["limit"][0]), 2)]
        more = start + len(page) < len(found)
        handler.reply({"object": "list", "data": page, "has_more": more})

    def content(self, handler, name):
        data = (self.folder / "files" / name).read_bytes()
        cut = self._read("cut.json", {}).get(name)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:cut])
        if cut is not None:
            handler.wfile.flush()
            self._write("hanging.json", "download")
            self._write("cut.json", {})
            time.sleep(20)

    def post(self, handler, path, data):
        if path == "/v1/files":
            return self.upload(handler, data)
        body = json.loads(data)
        if path == "/v1/batches":
            return self.create(handler, body)
        if path not in self.serves:
            return handler.error(404, "the model only takes batches")
        self._append("alone.jsonl", json.dumps(body) + "\n")
        return handler.reply(answer(body))

    def upload(self, handler, data):
        boundary = handler.headers["Content-Type"].split("boundary=")[1].encode()
        parts = data.split(b"--" + boundary)
        fields = {}
        for part in parts[1:-1]:
            head, content = part.removeprefix(b"\r\n").split(b"\r\n\r\n", 1)
            fields[b'name="file"' in head] = content.removesuffix(b"\r\n")
        assert fields[False] == b"batch"
        if len(fields[True]) > self._read("largest.json", 1 << 30):
            return handler.error(413, "file too large")
        name = f"file-{uuid.uuid4().hex}"
        (self.folder / "files" / name).write_bytes(fields[True])
        return handler.reply({"id": name, "object": "file", "bytes": len(fields[True])})

    def create(self, handler, body):
        plans = self._read("plans.json", [])
        plan, rest = (plans[0], plans[1:]) if plans else ({}, [])
        self._write("plans.json", rest)
        if "create" in plan:
            return handler.error(
                plan["create"], f"not now; the key is {handler.headers['Authorization']}"
            )
        lines = (self.folder / "files" / body["input_file_id"]).read_text().splitlines()
        batch = {
            **body,
            "id": f"batch_{uuid.uuid4().hex[:8]}",
            "object": "batch",
            "number": len(self.batches()),
            "status": "validating",
            "created_at": int(time.time()),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "plan": plan,
        }
        self._write(f"batches/{batch['id']}.json", batch)
        if plan.get("drop"):
            return handler.drop()
        if plan.get("hang"):
            self._write("hanging.json", "create")
            time.sleep(20)
        return handler.reply(batch)

    # -- batches -----------------------------------------------------------------------------

    def advance(self, batch):
        """Take a batch one step further."""
        plan = batch["plan"]
        plan["looks"] = plan.get("looks", 0) - 1
        if plan["looks"] >= 0:
            batch["status"] = "in_progress"
            return
        batch["status"] = plan.get("end", "completed")
        if batch["status"] == "failed":
            code, message = plan["failure"]
            batch["errors"] = {
                "object": "list",
                "data": [{"code": code, "message": message, "line": 7}],
            }
            return
        self.treat(batch, plan)

    def treat(self, batch, plan):
        lines = (self.folder / "files" / batch["input_file_id"]).read_text().splitlines()
        files = {"output_file_id": [], "error_file_id": []}
        for number, line in enumerate(map(json.loads, lines)):
            assert line["url"] == batch["endpoint"]
            if number in plan.get("lost", ()):
                continue
            result = {"id": f"r{number}", "custom_id": line["custom_id"], "error": None}
            if number >= plan.get("answered", len(lines)):
                code, message = REASONS[batch["status"]]
                result |= {"response": None, "error": {"code": code, "message": message}}
            elif status := plan.get("errors", {}).get(str(number)):
                told = plan.get("told", "it went wrong")
                result["response"] = {"status_code": status, "body": {"error": {"message": told}}}
            else:
                self._append("paid", line["custom_id"] + "\n")
                result["response"] = {"status_code": 200, "body": answer(line["body"])}
                files["output_file_id"].append(result)
                continue
            files["error_file_id"].append(result)
        for field, results in files.items():
            if results:
                batch[field] = f"file-{uuid.uuid4().hex}"
                random.Random(batch["number"]).shuffle(results)
                text = "".join(json.dumps(result) + "\n" for result in results)
                (self.folder / "files" / batch[field]).write_text(text)
        if "cut" in plan:
            self._write("cut.json", {batch["output_file_id"]: plan["cut"]})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.server.ended:
            return self.drop()
        parts = urlsplit(self.path)
        if "/content" in parts.path:  # may hang
            return self.server.state.get(self, parts.path, {})
        with self.server.state.lock:
            return self.server.state.get(self, parts.path, parse_qs(parts.query))

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.ended:
            return self.drop()
        return self.server.state.post(self, self.path, data)

    def reply(self, content, status=200):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, message):
        self.reply({"error": {"message": message}}, status)

    def drop(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass
