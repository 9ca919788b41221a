"""``vld profile``: named settings for cluster jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from vld_tui.cli.command import Command, Group, JsonOption, proposes
from vld_tui.cli.output import on_one_line, print_json, say, with_home
from vld_tui.cli.session import this_home
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import (
    DEFAULT_PROFILE,
    NONE,
    SETTINGS,
    change_profile,
    profile_names,
    read_profile,
    remove_profile,
    without_secrets,
)

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Profile.",
        show_default=False,
        autocompletion=proposes("profiles"),
    ),
]
NameOrDefault = Annotated[
    str,
    typer.Argument(metavar="[NAME]", help="Profile.", autocompletion=proposes("profiles")),
]


@app.command("set", cls=Command)
def set_(
    ctx: typer.Context,
    name: NameArgument,
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE...",
            help="Options of vld sweep, such as time=4:00:00; an empty value or none removes one.",
            show_default=False,
        ),
    ],
) -> None:
    """Create a profile or change some of its settings.

    setup=, env= and sbatch= may be repeated. The profile named default is used when --profile is
    not given."""
    home = this_home(ctx)
    _tell(name, change_profile(home, name, _given(settings)))


@app.command(cls=Command)
def show(
    ctx: typer.Context, name: NameOrDefault = DEFAULT_PROFILE, as_json: JsonOption = False
) -> None:
    """Show a profile's settings."""
    values = read_profile(this_home(ctx, to_look=True), name)
    if as_json:
        print_json(values)
        return
    _tell(name, values)


@app.command(cls=Command)
def ls(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the profiles."""
    home = this_home(ctx, to_look=True)
    found: dict[str, dict[str, Any]] = {}
    for name in profile_names(home):
        try:
            found[name] = read_profile(home, name)
        except SlurmError as error:
            say(f"profile {name} is invalid: {on_one_line(error)}", to_stderr=True)
    if as_json:
        print_json(found)
        return
    if not found:
        first = f"vld profile set {DEFAULT_PROFILE} partition=gpu time=4:00:00"
        say(with_home(f"No profiles yet. Create one: {first}"))
    for name, values in found.items():
        _tell(name, values)


@app.command(cls=Command)
def rm(ctx: typer.Context, name: NameArgument) -> None:
    """Delete a profile."""
    remove_profile(this_home(ctx), name)
    say(f"deleted profile {name}")


def _given(settings: Sequence[str]) -> dict[str, Any]:
    """Return the settings typed as SETTING=VALUE; None or an empty list removes one."""
    values: dict[str, Any] = {}
    for each in settings:
        name, sign, value = each.partition("=")
        if not sign:
            raise SlurmError(f"{each!r} must be SETTING=VALUE, such as partition=gpu.")
        name = name.strip().replace("-", "_")
        is_nothing = value in ("", NONE)
        if name in SETTINGS and SETTINGS[name].default == ():
            values[name] = [*values.get(name, []), *([] if is_nothing else [value])]
        else:
            values[name] = None if is_nothing else value
    return values


def _tell(name: str, values: dict[str, Any]) -> None:
    say(name)
    width = max(map(len, values), default=0)
    for key, value in values.items():
        listed = value if isinstance(value, list) else [value]
        for each in without_secrets(listed) if key == "env" else listed:
            say(f"  {key:<{width}}  {each}")
