"""The dashboard in a real browser, without a screen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.vld_tui.serve.conftest import PATIENCE_S, Served, wait_until

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
        page = browser.new_page(viewport={"width": 1100, "height": 700})
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
    wait_until(shows("sorted by -ood"))
    page.keyboard.press("Enter")
    wait_until(shows("esc back"))
    page.keyboard.press("Escape")
    wait_until(shows("sorted by -ood"))
    assert wrong == []
    page.keyboard.press("q")
    page.get_by_text("open it again").click()
    wait_until(shows("shown-in-a-browser"))

    assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{served.port}"}
    assert page.evaluate("document.cookie") == ""  # no script can read it
