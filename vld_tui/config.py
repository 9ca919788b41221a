"""The settings of a home that ``vld config`` lists: each is one field of a section.

A section is stored as one JSON object, see :meth:`vld_tui.store.settings.Settings.section`. A new
setting is a field with its type, range, default and help; ``vld config`` then shows, checks and
completes it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from engine.protocol.fields import FieldInfo, about, fields_of

MOST_SLOTS: Final = 64
FASTEST_REFRESH_S: Final = 0.1
SLOWEST_REFRESH_S: Final = 3600.0
LONGEST_HOOK_S: Final = 300.0
BellKind = Literal["off", "bell", "desktop"]
WebhookFormat = Literal["auto", "slack", "discord", "ntfy", "json"]
RunEnding = Literal["finished", "failed", "crashed", "stopped"]
ENDINGS: Final[tuple[str, ...]] = get_args(RunEnding)
COLLAPSED: Final = "collapsed"
STUDY_DONE: Final = "study"
EVENTS: Final = (*ENDINGS, COLLAPSED, STUDY_DONE)
"""What can be reported, by the words of ``notify.on``."""


class QueueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of this machine's queue."""

    slots: Annotated[
        int,
        Meta(ge=0, le=MOST_SLOTS),
        about("Maximum concurrent runs of the queue; 0: one per GPU, or one without GPUs."),
    ] = 0
    gpus: Annotated[tuple[str, ...], about("GPUs that the queue uses; none: all of them.")] = ()


class NotifyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where notifications of runs and studies are sent, and for which events."""

    command: Annotated[
        str | None,
        about("Shell command to run on each event; receives the event as JSON on stdin."),
    ] = None
    webhook: Annotated[
        str | None, about("URL to post each event to; $NAME stands for an environment variable.")
    ] = None
    format: Annotated[
        WebhookFormat, about("Format of the webhook's messages; auto: from the URL's host.")
    ] = "auto"
    on: Annotated[tuple[str, ...], about("Events to report.", choices=EVENTS)] = (
        "finished", "failed", "crashed", COLLAPSED, STUDY_DONE,
    )  # fmt: skip
    timeout_s: Annotated[
        float,
        Meta(ge=1.0, le=LONGEST_HOOK_S),
        about("Time limit of the command and of the request (s)."),
    ] = 10.0

    @property
    def is_on(self) -> bool:
        """Return whether anyone is notified."""
        return bool(self.on) and bool(self.command or self.webhook)


class DashboardConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the dashboard looks and how often it is updated."""

    theme: Annotated[str, about("Colour theme of the dashboard.")] = "textual-dark"
    refresh_s: Annotated[
        float,
        Meta(ge=FASTEST_REFRESH_S, le=SLOWEST_REFRESH_S),
        about("Refresh interval of the dashboard (s)."),
    ] = 1.0
    notice: Annotated[BellKind, about("Terminal notification when a run ends.")] = "off"


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "notify": NotifyConfig,
    "queue": QueueConfig,
    "dashboard": DashboardConfig,
}
SETTINGS: Final[dict[str, FieldInfo]] = {
    f"{section}.{name}": msgspec.structs.replace(info, name=f"{section}.{name}")
    for section, struct in SECTIONS.items()
    for name, info in fields_of(struct).items()
}
"""Every setting by its full name, such as ``notify.command``."""
