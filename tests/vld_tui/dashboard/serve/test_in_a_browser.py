"""The dashboard in a real browser, without a screen."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import Error, Page, sync_playwright

from tests.vld_tui.dashboard.serve.conftest import PATIENCE_S, Served
from tests.waiting import wait_until

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
KEEP_TERMINAL = """
Object.defineProperty(Object.prototype, "fitAddon", {
  configurable: true,
  set(addon) {
    window.shownTerminal = this.terminal;
    Object.defineProperty(this, "fitAddon", { value: addon });
  },
});
"""
"""The page draws on a canvas and keeps its terminal to itself: catch it as it is made."""
READ_TERMINAL = """() => {
  const buffer = window.shownTerminal?.buffer.active;
  return Array.from({ length: buffer?.length ?? 0 }, (_, row) =>
    buffer.getLine(row).translateToString(true)).join("\\n");
}"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        page = browser.new_context(viewport={"width": 1100, "height": 700}).new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.add_init_script(KEEP_TERMINAL)
        yield page
        browser.close()


def test_runs_are_drawn_and_keys_answered(served: Served, page: Page) -> None:
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)

    def shows(text: str) -> Callable[[], bool]:
        return lambda: text in page.evaluate(READ_TERMINAL)

    page.goto(served.address)
    page.wait_for_url(f"http://127.0.0.1:{served.port}/")  # without the token
    wait_until(shows("shown-in-a-browser"))
    assert "75.0%" in page.evaluate(READ_TERMINAL)
    page.wait_for_selector("body.-first-byte .xterm-helper-textarea:focus", state="attached")
    page.keyboard.press("o")
    wait_until(shows("OOD ▾"))
    page.keyboard.press("Enter")
    wait_until(shows("esc back"))
    page.keyboard.press("Escape")
    wait_until(shows("OOD ▾"))
    assert wrong == []
    page.keyboard.press("q")
    page.get_by_text("open it again").click()
    wait_until(shows("shown-in-a-browser"))

    assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{served.port}"}
    assert page.context.cookies() == []


def test_only_a_window_with_the_token_shows_anything(served: Served, page: Page) -> None:
    def is_shown() -> bool:
        with contextlib.suppress(Error):  # the page is just being loaded
            return "shown-in-a-browser" in page.evaluate(READ_TERMINAL)
        return False

    bare = f"http://127.0.0.1:{served.port}/"
    page.goto(bare)
    page.get_by_text("Open the address that vld serve printed.").wait_for()
    for _ in range(2):  # the printed address works again, in the window that it was opened in too
        page.goto(served.address)
        wait_until(is_shown)
        assert page.url == bare
        page.reload()
        wait_until(is_shown)
    other = page.context.new_page()
    other.goto(bare)
    other.get_by_text("Open the address that vld serve printed.").wait_for()


def test_a_page_on_another_port_gets_no_secret(served: Served, page: Page) -> None:
    heard: list[str] = []

    class Thief(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(str(self.headers) + self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><title>thief</title>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    page.goto(served.address)
    wait_until(lambda: "shown-in-a-browser" in page.evaluate(READ_TERMINAL))
    with HTTPServer(("127.0.0.1", 0), Thief) as thief:
        threading.Thread(target=thief.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{thief.server_port}/")
        found = page.evaluate("JSON.stringify([{...sessionStorage}, document.cookie])")
        thief.shutdown()
    assert served.token not in found + "".join(heard)
    assert "Cookie" not in "".join(heard)
