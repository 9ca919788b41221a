"""Serve the dashboard to a browser: who may open it, and a process for each window."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp_jinja2
import msgspec
import psutil
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.app_service import AppService
from textual_serve.server import Server

from vld_tui.dashboard.serve.address import is_called_rightly
from vld_tui.home import Home

TEMPLATES: Final = Path(__file__).with_name("templates")
PAGE: Final = Path(__file__).with_name("page")
CLOSE_PATIENCE_S: Final = 3.0
"""How long dashboards may take to end before they are killed."""
REQUEST_PATIENCE_S: Final = 0.5
"""How long other requests may take after that."""
MOST_CELLS: Final = 2_000
"""Maximum width and height of a window, in cells."""
MOST_AREA: Final = 400_000
"""Maximum cells of a window; a dashboard needs about 30 bytes per cell."""
MOST_WINDOWS: Final = 16
"""Maximum open windows; each has a process."""
MOST_STRANGERS: Final = 64
"""Maximum websockets that have not sent the token yet."""
TOKEN_PATIENCE_S: Final = 10.0
WINDOW_COMMAND: Final = (sys.executable, "-P", "-m", "vld_tui.dashboard.serve")
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TOKEN_BYTES: Final = 32
WEBSOCKET_PATH: Final = "/ws"
_PUBLIC: Final = ("/static/", "/page/")
"""Static files of the page, without data of the home."""


@dataclass(frozen=True)
class Access:
    """The secret of one server, and its bound address."""

    host: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES), repr=False)

    def refusal(self, request: web.Request) -> str | None:
        """Return why a request is rejected, or None if it is accepted."""
        if not is_called_rightly(request.headers.get("Host", ""), self.host):
            return "The dashboard is not served under this host name."
        origin = request.headers.get("Origin")
        if origin is None and request.path == WEBSOCKET_PATH:
            return "Only the dashboard's own page may open its websocket."
        if origin is not None and origin != f"http://{request.headers['Host']}":
            return "Requests from other pages are not allowed."
        is_known = request.path in ("/", WEBSOCKET_PATH) or request.path.startswith(_PUBLIC)
        if not is_known or "token" in request.query:
            return "Open the address that vld serve printed."
        return None

    def accepts(self, message: object) -> bool:
        """Return whether a window's first message holds the token."""
        match message:
            case ["token", str(given)]:
                return secrets.compare_digest(given.encode(errors="replace"), self.token.encode())
        return False


def guard(access: Access) -> Middleware:
    """Return the middleware that rejects requests without access."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if reason := access.refusal(request):
            return web.Response(text=f"{reason}\n", status=web.HTTPForbidden.status_code)
        return await handler(request)

    return answer


class DashboardServer(Server):
    """textual-serve with a self-contained page, and an orderly end of its processes."""

    def __init__(self, home: Home, access: Access) -> None:
        command = shlex.join([*WINDOW_COMMAND, str(home.path), str(os.getpid())])
        super().__init__(f"exec {command}", title="vld-tui", templates_path=TEMPLATES)
        self._access = access
        self._windows: set[asyncio.Task[object]] = set()
        self._strangers = 0

    async def make_application(self) -> web.Application:
        """Return the web application, which opens windows only for clients with the token."""
        application = await self._make_app()
        application.router.add_static("/page", PAGE)
        application.middlewares.append(guard(self._access))
        application.on_response_prepare.append(_add_headers)
        return application

    async def on_startup(self, app: web.Application) -> None:
        """Print no banner: the command prints the address."""

    async def on_shutdown(self, app: web.Application) -> None:  # noqa: ARG002
        """End every dashboard, killing it if necessary."""
        for window in self._windows:
            window.cancel()
        if self._windows:
            await asyncio.wait(self._windows, timeout=CLOSE_PATIENCE_S)
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    async def handle_index(self, request: web.Request) -> web.Response:
        """Return the terminal's page, using the requested host name."""
        websocket_url = f"ws://{request.headers['Host']}/ws"
        page = aiohttp_jinja2.render_template(
            "app_index.html", request, {"websocket_url": websocket_url}
        )
        page.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self'; connect-src {websocket_url}; "
            "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return page

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run a dashboard while its window is open, after the window has sent the token."""
        width, height = (request.query.get(side, "1") for side in ("width", "height"))
        if not (_fits(width) and _fits(height) and int(width) * int(height) <= MOST_AREA):
            raise web.HTTPBadRequest(
                text=f"The window must be 1 to {MOST_CELLS:,} cells wide and high, with at most "
                f"{MOST_AREA:,} cells.\n"
            )
        if self._strangers >= MOST_STRANGERS:
            raise web.HTTPServiceUnavailable
        websocket = web.WebSocketResponse(heartbeat=15)
        await websocket.prepare(request)
        if not await self._is_ours(websocket):
            await _refuse(websocket, "Open the address that vld serve printed.")
        elif len(self._windows) >= MOST_WINDOWS:
            await _refuse(websocket, f"Too many open windows ({MOST_WINDOWS}). Close one first.")
        else:
            await self._show(websocket, int(width), int(height))
        return websocket

    async def _is_ours(self, websocket: web.WebSocketResponse) -> bool:
        """Return whether the client sends the token first, in time."""
        self._strangers += 1
        try:
            said = await websocket.receive(TOKEN_PATIENCE_S)
        except TimeoutError:
            return False
        finally:
            self._strangers -= 1
        return self._access.accepts(_decode(said))

    async def _show(self, websocket: web.WebSocketResponse, width: int, height: int) -> None:
        """Run a dashboard until its window is closed, or this server ends."""
        window = asyncio.current_task()
        assert window is not None
        self._windows.add(window)

        async def close() -> None:
            await websocket.close()

        service = AppService(
            self.command,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            download_manager=self.download_manager,
        )
        try:
            await service.start(width, height)
            await self._process_messages(websocket, service)
        except asyncio.CancelledError:
            await websocket.close()
        except ConnectionError:  # the window was closed
            pass
        finally:
            await service.stop()
            self._windows.discard(window)

    async def _process_messages(
        self, websocket: web.WebSocketResponse, app_service: AppService
    ) -> None:
        """Forward a window's input; close a window that sends invalid messages."""
        async for message in websocket:
            match _decode(message):
                case ["stdin", str(keys)]:
                    await app_service.send_bytes(keys.encode(errors="replace"))
                case ["resize", {"width": int(width), "height": int(height)}]:
                    await app_service.set_terminal_size(*_bounded_size(width, height))
                case ["ping", data]:
                    await websocket.send_json(["pong", data])
                case ["blur", *_]:
                    await app_service.blur()
                case ["focus", *_]:
                    await app_service.focus()
                case _:
                    await websocket.close(code=WSCloseCode.POLICY_VIOLATION)


def serve_dashboard(
    home: Home, listener: socket.socket, access: Access, *, announce: Callable[[], None]
) -> None:
    """Serve until this process is interrupted or terminated; call ``announce`` once started."""
    asyncio.run(_serve(DashboardServer(home, access), listener, announce))


async def _serve(
    server: DashboardServer, listener: socket.socket, announce: Callable[[], None]
) -> None:
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, is_over.set)
    runner = web.AppRunner(
        await server.make_application(),
        access_log=None,
        shutdown_timeout=REQUEST_PATIENCE_S,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        announce()
        await is_over.wait()
    finally:
        await runner.cleanup()


def _decode(message: WSMessage) -> object:
    """Return a message's content, or None if it is invalid."""
    if message.type != WSMsgType.TEXT:
        return None
    try:
        return msgspec.json.decode(message.data)
    except (msgspec.DecodeError, RecursionError):
        return None


async def _refuse(websocket: web.WebSocketResponse, reason: str) -> None:
    """Close a websocket; its page shows the reason."""
    await websocket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason.encode())


def _bounded_size(width: int, height: int) -> tuple[int, int]:
    columns = _bounded(width)
    return columns, min(_bounded(height), MOST_AREA // columns)


def _bounded(cells: int) -> int:
    return min(max(cells, 1), MOST_CELLS)


def _fits(cells: str) -> bool:
    return cells.isdecimal() and len(cells) < 10 and int(cells) == _bounded(int(cells))


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
