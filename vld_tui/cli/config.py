"""``vld config``: the settings of a home."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from engine.protocol.fields import shown_value
from vld_tui.cli.command import Command, Group, JsonOption, proposes
from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.cli.output import print_json, say, with_home
from vld_tui.cli.session import open_store, refresh
from vld_tui.config import SETTINGS
from vld_tui.control import config
from vld_tui.control.config import Setting
from vld_tui.launch.notify.command import Sent
from vld_tui.words.numbers import duration

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Setting, such as notify.command.",
        show_default=False,
        autocompletion=proposes("settings"),
    ),
]


@app.command(cls=Command)
def ls(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List every setting with its value and meaning."""
    with open_store(ctx, to_look=True) as store:
        known = config.settings(store)
    if as_json:
        print_json({each.info.name: _record(each) for each in known})
        return
    width = max(map(len, SETTINGS))
    values = [_shown(each) for each in known]
    for each, value in zip(known, values, strict=True):
        say(f"{each.info.name:<{width}}  {value}{'' if each.is_set else '  (default)'}")
        allowed = (
            f" ({each.info.allowed})" if each.info.choices or each.info.base is not str else ""
        )
        say(f"{'':<{width}}  # {each.info.help.rstrip('.')}{allowed}")


@app.command(cls=Command)
def get(ctx: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Print the value of a setting."""
    with open_store(ctx, to_look=True) as store:
        setting = config.get(store, name)
    if as_json:
        print_json(_record(setting))
    else:
        say(_shown(setting))


@app.command("set", cls=Command)
def set_(
    ctx: typer.Context,
    name: NameArgument,
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE",
            help="Its new value.",
            show_default=False,
            autocompletion=proposes("values of settings"),
        ),
    ],
) -> None:
    """Change a setting."""
    with open_store(ctx) as store:
        refresh(store)  # ends of runs so far are not announced by what is set now
        setting = config.put(store, name, value)
    _tell(setting)
    if setting.info.name in ("notify.command", "notify.webhook") and setting.value is not None:
        say(with_home("Send a test notification with: vld config test"))


@app.command(cls=Command)
def unset(ctx: typer.Context, name: NameArgument) -> None:
    """Return a setting to its default."""
    with open_store(ctx) as store:
        setting = config.unset(store, name)
    _tell(setting)


@app.command("test", cls=Command)
def send_test(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Send a test notification and show the result. Exits with 1 if it was not sent."""
    from vld_tui.control.notifier import send, test_message

    with open_store(ctx, to_look=True) as store:
        chosen = store.notifications.config
        if not (chosen.command or chosen.webhook):
            raise CommandError(
                "Notifications are off.\nTurn them on with: vld config set notify.command COMMAND, "
                "or notify.webhook URL"
            )
        message = test_message(store)
        sent = send(chosen, message, store.home, pauses_s=())
    if as_json:
        print_json({"message": message, "sent": dict(sent)})
    else:
        for name, each in sent:
            say(_result_line(name, each))
    if any(each.problem for _, each in sent):
        raise typer.Exit(FAILED_EXIT)


def _result_line(name: str, sent: Sent) -> str:
    took = f"{sent.wall_s:.1f} s" if sent.wall_s < 10 else duration(sent.wall_s)
    if sent.problem is not None:
        return f"{name}  failed after {took}: {sent.problem}"
    return f"{name}  sent: {sent.how}, {took}"


def _tell(setting: Setting) -> None:
    default = "" if setting.is_set else "  (default)"
    say(f"{setting.info.name}  {_shown(setting)}{default}")


def _shown(setting: Setting) -> str:
    return shown_value(setting.value)


def _record(setting: Setting) -> dict[str, Any]:
    info = setting.info
    return {
        "value": setting.value,
        "default": info.default,
        "is_set": setting.is_set,
        "help": info.help,
        "allowed": info.allowed,
    }
