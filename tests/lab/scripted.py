# SPDX-License-Identifier: GPL-2.0-only
"""An HTTP server that answers as the test tells it, and remembers what it was asked."""
from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable, NamedTuple

from .host import Host


class Request(NamedTuple):
    path: str
    host: str
    client: str


Answer = tuple[int, str] | None  # None: silence
Behaviour = Callable[[Request], Answer]


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128


class ScriptedHttp:
    def __init__(self, host: Host, port: int, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        with host.entered():
            self.server = _Server(("::", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = Request(handler.path, handler.headers.get("Host", ""),
                          handler.client_address[0].removeprefix("::ffff:"))
        answer = self.behaviour(request)
        self.requests.append(request)
        if answer is None:
            self.released.wait(30)
            handler.close_connection = True
            return
        body = answer[1].encode()
        handler.send_response(answer[0])
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def __enter__(self) -> ScriptedHttp:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
