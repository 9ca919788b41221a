"""``vld data``: the data sets a run can be made on."""

from __future__ import annotations

import typer

from vld_tui.cli.command import Command, Group
from vld_tui.cli.data.add import add
from vld_tui.cli.data.cache import cache
from vld_tui.cli.data.check import check
from vld_tui.cli.data.fetch import fetch
from vld_tui.cli.data.ls import ls
from vld_tui.cli.data.named import mv, rm
from vld_tui.cli.data.shift import shift

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)


app.command("ls", cls=Command, help="List data sets, or show one: domains, counts, place.")(ls)
app.command("add", cls=Command, help="Give images a name: a folder, table or archive.")(add)
app.command("fetch", cls=Command, help="Download a data set of the study.")(fetch)
app.command("shift", cls=Command, help="Make domains of images that have only one.")(shift)
app.command("check", cls=Command, help="Check images for errors; exit 1 if there are any.")(check)
app.command("cache", cls=Command, help="Decode the images ahead of the runs that need them.")(cache)
app.command("mv", cls=Command, help="Rename a data set that was added.")(mv)
app.command("rm", cls=Command, help="Remove a data set that was added.")(rm)
