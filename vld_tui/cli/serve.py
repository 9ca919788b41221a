"""``vld serve``: the dashboard in a browser."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from engine.protocol.extras import install_command
from vld_tui.cli.command import Command
from vld_tui.cli.errors import CommandError
from vld_tui.cli.output import say
from vld_tui.cli.session import this_home
from vld_tui.dashboard.serve.address import is_loopback, listen, url_of

HIGHEST_PORT: Final = 65_535

app = typer.Typer(add_completion=False, rich_markup_mode=None)

HostOption = Annotated[
    str, typer.Option("--host", metavar="HOST", help="Address to serve at; others: see --public.")
]
PortOption = Annotated[
    int, typer.Option("--port", metavar="N", help="Port to serve at; 0: any free one.")
]
PublicOption = Annotated[
    bool,
    typer.Option(
        "--public",
        help="Allow a --host that other machines reach. Nothing is encrypted on the way: whoever "
        "listens there learns the token, and can do all that you can do in the dashboard.",
    ),
]


@app.command(cls=Command)
def serve(
    ctx: typer.Context,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    public: PublicOption = False,
) -> None:
    """Serve the dashboard to a browser of this machine, until Ctrl-C; runs go on."""
    if not 0 <= port <= HIGHEST_PORT:
        raise CommandError(f"--port is {port}, but must be from 0 to {HIGHEST_PORT}.")
    if not (public or is_loopback(host)):
        raise CommandError(
            f"--host {host} can be reached from other machines, and nothing is encrypted on the "
            f"way.\nFrom another machine: ssh -L {port}:localhost:{port} HERE; or add --public."
        )
    home = this_home(ctx)
    try:
        from vld_tui.dashboard.serve.access import Access  # an extra, and slow to import
        from vld_tui.dashboard.serve.server import serve_dashboard
    except ImportError:
        raise CommandError(
            "A browser is served with textual-serve, which is not installed: "
            f"{install_command('serve')}"
        ) from None
    with listen(host, port) as listener:
        access = Access(host)
        address = f"{url_of(listener, host)}/#token={access.token}"
        serve_dashboard(home, listener, access, announce=lambda: _say_where(address))


def _say_where(address: str) -> None:
    say(f"The dashboard is at  {address}")
    say("Keep the address to yourself: it is the key. Ctrl-C ends the dashboard; runs go on.")
