"""A stand-in for the hub on the loopback interface: real HTTP, real files, faults on demand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

REVISION: Final = "c0ffee" * 6 + "c0ff"


@dataclass
class Hub:
    """What is served, what was asked, and what goes wrong.

    Attributes:
        files: name → content, of the one data set ``hub_id``.
        hub_id: its name.
        checksums: SHA-256 stated of files that are served otherwise.
        asked: method, path and ``Range`` of each request.
        stall_from: byte of a file from which on the server falls silent; None: it does not.
        drop_from: byte of a file from which on it closes the connection, once; None: never.
        stalled: set when it has fallen silent.
        released: ends the silence.
    """

    files: Mapping[str, bytes]
    hub_id: str = "flwrlabs/pacs"
    checksums: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    stall_from: int | None = None
    drop_from: int | None = None
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def ranges(self, name: str) -> list[str | None]:
        """Return the ``Range`` of every time a file was asked for."""
        return [span for method, path, span in self.asked if method == "GET" and name in path]


@contextlib.contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve for the duration of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers as the hub does; ``hub`` is set by a subclass."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self, *, with_content: bool) -> None:
        self.hub.asked.append((self.command, self.path, self.headers.get("Range")))
        path = self.path.partition("?")[0]
        resolved = f"/datasets/{self.hub.hub_id}/resolve/{REVISION}/"
        api = f"/api/datasets/{self.hub.hub_id}"
        if path.startswith(f"{api}/tree/"):
            self._send_json(self._tree())
        elif path.startswith(api):
            self._send_json({"id": self.hub.hub_id, "sha": REVISION, "siblings": [], "tags": []})
        elif path.startswith(resolved) and path.removeprefix(resolved) in self.hub.files:
            self._send_file(self.hub.files[path.removeprefix(resolved)], with_content)
        else:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _tree(self) -> list[dict[str, object]]:
        """Return every file with its size, and its checksum unless it is a text."""
        return [
            {
                "type": "file",
                "path": name,
                "size": len(content),
                "oid": "0" * 40,
                **({} if name.endswith(".md") else {"lfs": self._lfs(name, content)}),
            }
            for name, content in self.hub.files.items()
        ]

    def _lfs(self, name: str, content: bytes) -> dict[str, object]:
        checksum = self.hub.checksums.get(name, hashlib.sha256(content).hexdigest())
        return {"oid": checksum, "size": len(content), "pointerSize": 134}

    def _send_json(self, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, content: bytes, with_content: bool) -> None:
        span = self.headers.get("Range")
        first, _, last = (span or "bytes=0-").removeprefix("bytes=").partition("-")
        start = int(first)
        whole, content = len(content), content[: int(last) + 1 if last else None]
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{whole}")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if not with_content:
            return
        if self.hub.drop_from is not None and start >= self.hub.drop_from:
            self.wfile.write(content[start : start + 1000])
            self.hub.drop_from = None
            self.close_connection = True
        elif self.hub.stall_from is not None and start >= self.hub.stall_from:
            self.wfile.write(content[start : start + 1000])
            self.wfile.flush()
            self.hub.stalled.set()
            self.hub.released.wait(60)
            self.close_connection = True
        else:
            self.wfile.write(content[start:])
