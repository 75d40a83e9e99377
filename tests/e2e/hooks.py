"""Somebody who listens for webhooks: a plain HTTP server with a thread of its own, where the stage allows it."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.2"


class Hooks:
    """What came, in order. While `silent` is set nothing is answered, and the sender's connection stays open."""

    def __init__(self) -> None:
        self.came: list[tuple[Mapping[str, str], bytes]] = []
        self.silent = threading.Event()
        self.url = ""

    def about(self, job: str) -> list[tuple[Mapping[str, str], bytes]]:
        """Those that tell of one video."""
        return [(headers, body) for headers, body in self.came if json.loads(body)["job_id"] == job]


@contextmanager
def listening() -> Iterator[Hooks]:
    """A receiver from its start to its end."""
    hooks, over = Hooks(), threading.Event()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hooks.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if hooks.silent.is_set():
                over.wait(60)
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, *told: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((HOST, 0), Answering) as server:
        hooks.url = f"http://{HOST}:{server.server_address[1]}/hooks"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hooks
        finally:
            over.set()
            server.shutdown()
            thread.join()
