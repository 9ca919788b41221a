"""``vld data``: manage data sets."""

from __future__ import annotations

import typer

from vld_tui.cli.command import Command, Group
from vld_tui.cli.data.check import check
from vld_tui.cli.data.derived import cache, shift
from vld_tui.cli.data.nearest import nearest
from vld_tui.cli.data.sets import add, fetch, ls, mv, rm

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)


app.command("ls", cls=Command, help="List data sets, or show one.")(ls)
app.command("add", cls=Command, help="Add a folder, table or archive as a data set.")(add)
app.command("fetch", cls=Command, help="Download a published data set.")(fetch)
app.command("shift", cls=Command, help="Create domains from a single-domain data set.")(shift)
app.command("check", cls=Command, help="Check a data set for problems.")(check)
app.command("cache", cls=Command, help="List, create or remove cached images and features.")(cache)
app.command("nearest", cls=Command, help="Keep the images that are nearest to real ones.")(nearest)
app.command("mv", cls=Command, help="Rename an added data set.")(mv)
app.command("rm", cls=Command, help="Remove an added data set.")(rm)
