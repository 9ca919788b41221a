"""Serves dashboards: each window of a browser gets one, a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp_jinja2
import msgspec
import psutil
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from vld_tui.home import Home
from vld_tui.serve.access import Access, guard

TEMPLATES: Final = Path(__file__).with_name("templates")
PAGE: Final = Path(__file__).with_name("page")
CLOSE_PATIENCE_S: Final = 3.0
"""How long dashboards may take to end before they are made to."""
REQUEST_PATIENCE_S: Final = 0.5
"""How long other requests may take after that."""
MOST_CELLS: Final = 2_000
"""Width and height of a window, in cells: more than any screen has, little enough to draw."""
WINDOW_COMMAND: Final = (sys.executable, "-P", "-m", "vld_tui.serve")
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class DashboardServer(Server):
    """textual-serve with a page that needs nothing from elsewhere, and an end to its children."""

    def __init__(self, home: Home, access: Access) -> None:
        command = shlex.join([*WINDOW_COMMAND, str(home.path), str(os.getpid())])
        super().__init__(f"exec {command}", title="vld-tui", templates_path=TEMPLATES)
        self._access = access
        self._windows: set[asyncio.Task[object]] = set()

    async def make_application(self) -> web.Application:
        """Return the web application, which answers nobody who has not the token."""
        application = await self._make_app()
        application.router.add_static("/page", PAGE)
        application.middlewares.append(guard(self._access))
        application.on_response_prepare.append(_add_headers)
        return application

    async def on_startup(self, app: web.Application) -> None:
        """Print no banner: the command says where the dashboard is."""

    async def on_shutdown(self, app: web.Application) -> None:  # noqa: ARG002
        """Have every dashboard end, by force if need be."""
        for window in self._windows:
            window.cancel()
        if self._windows:
            await asyncio.wait(self._windows, timeout=CLOSE_PATIENCE_S)
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    async def handle_index(self, request: web.Request) -> web.Response:
        """Answer with the page of the terminal, under the name it was asked for."""
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
        """Run a dashboard for as long as its window is open."""
        if not all(_fits(request.query.get(side, "1")) for side in ("width", "height")):
            raise web.HTTPBadRequest(text=f"A window is 1 to {MOST_CELLS:,} cells wide and high.\n")
        window = asyncio.current_task()
        assert window is not None
        self._windows.add(window)
        try:
            return await super().handle_websocket(request)
        finally:
            self._windows.discard(window)

    async def _process_messages(
        self, websocket: web.WebSocketResponse, app_service: AppService
    ) -> None:
        """Pass on what is done in a window; one that says what no page says is closed."""
        async for message in websocket:
            match _decode(message):
                case ["stdin", str(keys)]:
                    await app_service.send_bytes(keys.encode(errors="replace"))
                case ["resize", {"width": int(width), "height": int(height)}]:
                    await app_service.set_terminal_size(_bounded(width), _bounded(height))
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
    """Serve until this process is interrupted or terminated; ``announce`` when it has begun."""
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
        access_log=None,  # it would hold the token
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
    """Return what a message says; None: nothing that can be read."""
    if message.type != WSMsgType.TEXT:
        return None
    try:
        return msgspec.json.decode(message.data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _bounded(cells: int) -> int:
    return min(max(cells, 1), MOST_CELLS)


def _fits(cells: str) -> bool:
    return cells.isdecimal() and len(cells) < 10 and int(cells) == _bounded(int(cells))


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
