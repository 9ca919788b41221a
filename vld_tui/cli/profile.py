"""``vld profile``: settings of a cluster's jobs, kept under a name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vld_tui.cli.command import Command, Group, JsonOption
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import this_home
from vld_tui.slurm.errors import SlurmError
from vld_tui.slurm.profiles import (
    DEFAULT_PROFILE,
    keep_profile,
    profile_names,
    read_profile,
    remove_profile,
)
from vld_tui.slurm.settings import SETTINGS

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


@app.command("set", cls=Command)
def set_(
    ctx: typer.Context,
    name: NameArgument,
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE...",
            help="As the options of vld sweep; no value: as before.",
            show_default=False,
        ),
    ],
) -> None:
    """Make a profile, or change some settings of one; the one called default goes unsaid."""
    home = this_home(ctx)
    values = dict(read_profile(home, name)) if name in profile_names(home) else {}
    for each in settings:
        key, sign, value = each.partition("=")
        if not sign:
            raise SlurmError(f"{each!r} must be SETTING=VALUE, such as partition=gpu.")
        _put(values, key.strip().replace("-", "_"), value)
    keep_profile(home, name, values)
    _tell(name, values)


@app.command(cls=Command)
def show(ctx: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
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
            say(f"{name} cannot be used: {error}", to_stderr=True)
    if as_json:
        print_json(found)
        return
    if not found:
        say(f"No profile yet: vld profile set {DEFAULT_PROFILE} partition=gpu time=4:00:00")
    for name, values in found.items():
        _tell(name, values)


@app.command(cls=Command)
def rm(ctx: typer.Context, name: NameArgument) -> None:
    """Forget a profile."""
    remove_profile(this_home(ctx), name)


def _put(values: dict[str, Any], name: str, value: str) -> None:
    """Set a value; of a setting that may have several, one more."""
    if value == "":
        values.pop(name, None)
    elif name in SETTINGS and SETTINGS[name].default == ():
        values[name] = [*values.get(name, []), value]
    else:
        values[name] = value


def _tell(name: str, values: dict[str, Any]) -> None:
    say(name)
    width = max(map(len, values), default=0)
    for key, value in values.items():
        for each in value if isinstance(value, list) else [value]:
            say(f"  {key:<{width}}  {each}")
