"""A web site on this machine whose server misbehaves on demand."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Site:
    """Files by name; `cuts` are the numbers of bytes after which the next answers end; `length` is a false one.

    Where an answer is cut, the server is silent for `silence` seconds before it ends the connection.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.ranges = self.lengths = True
        self.length: str | None = None
        self.silence, self.status = 0.0, 200
        self.requests: list[tuple[str, str | None]] = []
        self.address = ""


@contextmanager
def serve() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.requests.append((self.path[1:], asked))
            content = site.files.get(self.path[1:])
            if content is None or site.status != 200:
                return self.send_error(404 if content is None else site.status)
            start = int(re.findall(r"\d+", asked)[0]) if asked and site.ranges else 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if site.lengths:
                self.send_header("Content-Length", site.length or str(len(content) - start))
            self.end_headers()
            sent = site.cuts.pop(0) if site.cuts else len(content)
            self.wfile.write(content[start : start + sent])
            if start + sent < len(content):
                self.wfile.flush()
                time.sleep(site.silence)
            return None

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with served(Handler) as address:
        site.address = address
        yield site


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on this machine, as long as the context lasts; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
