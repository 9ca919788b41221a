"""``vld serve``: serve the dashboard to a web browser."""

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
    str,
    typer.Option(
        "--host", metavar="HOST", help="Address to listen on; non-local addresses need --public."
    ),
]
PortOption = Annotated[
    int, typer.Option("--port", metavar="N", help="Port to listen on; 0: any free port.")
]
PublicOption = Annotated[
    bool,
    typer.Option(
        "--public",
        help="Allow a --host that other machines can reach. Traffic is not encrypted: anyone who "
        "can read it learns the token and gets full control of the dashboard.",
    ),
]


@app.command(cls=Command)
def serve(
    ctx: typer.Context,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    public: PublicOption = False,
) -> None:
    """Serve the dashboard to browsers on this machine until Ctrl-C; runs keep running."""
    if not 0 <= port <= HIGHEST_PORT:
        raise CommandError(f"--port is {port}, but must be from 0 to {HIGHEST_PORT}.")
    if not (public or is_loopback(host)):
        raise CommandError(
            f"--host {host} can be reached from other machines, and traffic is not encrypted.\n"
            f"Use an SSH tunnel (ssh -L {port}:localhost:{port} THIS_HOST), or add --public."
        )
    home = this_home(ctx)
    try:
        # An extra, and slow to import.
        from vld_tui.dashboard.serve.server import Access, serve_dashboard
    except ImportError:
        raise CommandError(
            "vld serve needs textual-serve, which is not installed.\n"
            f"Install it with: {install_command('serve')}"
        ) from None
    with listen(host, port) as listener:
        access = Access(host)
        address = f"{url_of(listener, host)}/#token={access.token}"
        serve_dashboard(home, listener, access, announce=lambda: _say_where(address))


def _say_where(address: str) -> None:
    say(f"Dashboard: {address}")
    say("Do not share this address: it contains the access token. Ctrl-C stops serving, not runs.")
