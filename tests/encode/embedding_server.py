"""An OpenAI-compatible embedding endpoint on loopback, whose vectors are those of a static model."""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


class EmbeddingServer:
    """Answers, or fails as it is told: each of `faults` befalls one request, in order of arrival."""

    def __init__(self, encoder, scale=3.0):
        self.encoder, self.scale = encoder, scale
        self.faults, self.requests, self.keys = deque(), [], []
        self.always = None
        self.running = self.most_running = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    @property
    def texts(self):
        return [text for request in self.requests for text in request["input"]]

    def answer(self, request, fault):
        """Return the body of a good answer, or of one that is wrong in some way; not normalised."""
        vectors = self.encoder.encode_queries(request["input"]) * self.scale
        vectors[~vectors.any(1), 0] = 1  # whatever a text says, an endpoint gives it a direction
        vectors = vectors[:, : request.get("dimensions", vectors.shape[1])]
        if fault == "wrong dimension":
            vectors = vectors[:, :5]
        if fault == "not finite":
            vectors[0, 0] = np.nan
        entries = [
            {"object": "embedding", "index": i, "embedding": _packed(v, request)}
            for i, v in enumerate(vectors)
        ]
        entries = entries[::-1]  # a server may answer in any order: the index counts
        if fault == "short":
            entries = entries[1:]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return {"object": "list", "model": request["model"], "data": entries, "usage": usage}


def _packed(vector, request):
    if request.get("encoding_format") == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()


def _handler(owner):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with owner.lock:
                owner.running += 1
                owner.most_running = max(owner.most_running, owner.running)
                fault = owner.always or (owner.faults.popleft() if owner.faults else None)
                owner.keys.append(self.headers["Authorization"])
            try:
                self.treat(json.loads(body), fault)
            finally:
                with owner.lock:
                    owner.running -= 1

        def treat(self, request, fault):
            if fault == "dropped":
                self.close_connection = True
                self.connection.shutdown(2)
                return
            if fault == "cut":
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(b'{"object": "list", "da')
                self.close_connection = True
                self.connection.shutdown(2)
                return
            if isinstance(fault, int):
                said = f"fault {fault}, your key was {self.headers['Authorization']}"
                self.send(fault, {"error": {"message": said}}, {"Retry-After": "0.01"})
                return
            with owner.lock:
                owner.requests.append(request)
            self.send(200, owner.answer(request, fault))

        def send(self, status, content, headers=()):
            data = json.dumps(content).encode()
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    return Handler
