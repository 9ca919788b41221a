"""What a notification says, and the forms in which services expect it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from vld_tui.config import WebhookFormat
from vld_tui.words.text import plain_text, shorten

_MOST_TEXT: Final = 1_500
"""Discord accepts 2,000 characters, ntfy 4,096 bytes, and Slack more."""
_HOSTS: Final[dict[str, WebhookFormat]] = {
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
    "discord.com": "discord",
    "ptb.discord.com": "discord",
    "canary.discord.com": "discord",
    "discordapp.com": "discord",
    "ntfy.sh": "ntfy",
}
_URGENT: Final = ("failed", "crashed", "collapsed")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the command and the webhook get it: ``text`` describes it in one line.

    ``id`` is the same whenever the same event is sent. ``time`` is when it happened (Unix
    seconds). ``run`` and ``study`` are records as of ``vld ls --json``.
    """

    id: str
    event: str
    time: float
    text: str
    host: str
    home: str
    run: dict[str, Any] | None = None
    study: dict[str, Any] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that the command gets in addition."""
        run, study = self.run or {}, self.study or {}
        values = {
            "VLD_EVENT": self.event,
            "VLD_TEXT": plain_text(self.text),
            "VLD_RUN": run.get("run", ""),
            "VLD_STUDY": study.get("name", ""),
        }
        return {name: value.replace("\0", "") for name, value in values.items()}


class Post(msgspec.Struct, frozen=True):
    """The body and the headers of a request."""

    body: bytes
    headers: dict[str, str]


def format_of(url: str, chosen: WebhookFormat) -> WebhookFormat:
    """Return the format of a webhook's messages: the chosen one, or the one of its host."""
    if chosen != "auto":
        return chosen
    host = (urlsplit(url).hostname or "").lower()
    return _HOSTS.get(host, "ntfy" if host.startswith("ntfy.") else "json")


def post_of(message: Message, form: WebhookFormat) -> Post:
    """Return a message as a service expects it."""
    return _FORMS[form](message)


def _json(value: object) -> Post:
    return Post(msgspec.json.encode(value), {"Content-Type": "application/json; charset=utf-8"})


def _slack(message: Message) -> Post:
    text = _short(message)
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return _json({"text": text})


def _discord(message: Message) -> Post:
    return _json({"content": _short(message), "allowed_mentions": {"parse": []}})


def _ntfy(message: Message) -> Post:
    is_urgent = message.event in _URGENT
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Title": f"vld: {message.event}",
        "Tags": "warning" if is_urgent else "white_check_mark",
        "Priority": "high" if is_urgent else "default",
    }
    return Post(_short(message).encode(errors="replace"), headers)


def _short(message: Message) -> str:
    return shorten(plain_text(message.text), _MOST_TEXT)


_FORMS: Final[dict[WebhookFormat, Callable[[Message], Post]]] = {
    "auto": _json,
    "json": _json,
    "slack": _slack,
    "discord": _discord,
    "ntfy": _ntfy,
}
