"""``vld doctor``: check this machine and this installation."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any, Final

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.errors import FAILED_EXIT
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import this_home
from vld_tui.home import Home, HomeError
from vld_tui.launch.local import LaunchError, ask_engine
from vld_tui.launch.notify.process import why_unsendable
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.jobs import require_submitit
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.views.inventory import Check, check_lines
from vld_tui.views.notifications import failure_lines
from vld_tui.words.numbers import plural, size

LEAST_FREE_BYTES: Final = 2**30
"""Free disk space that a run with its caches and checkpoints may need."""
_CLUSTER: Final = "slurm"
_NOTIFICATIONS: Final = "notify"
_OPTIONAL: Final = (_CLUSTER, _NOTIFICATIONS)
"""Checks that may fail while runs still work."""
_LIBRARIES: Final = ("msgspec", "rich", "sqlite-utils", "typer")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def doctor(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Check Python, torch, devices, disk, database and Slurm. Exits with 1 on a failed check."""
    checks, machine = _machine_checks()
    health: dict[str, Any] | None = None
    try:
        home = this_home(ctx)
    except HomeError as error:
        checks.append(Check("home", False, str(error)))
    else:
        found, health = _home_checks(home)
        checks += found
    is_healthy = all(check.is_ok for check in checks if check.subject not in _OPTIONAL)
    checks.append(_cluster_check())  # an unreachable cluster is not a failure
    if as_json:
        print_json(
            {"healthy": is_healthy, "checks": checks, "machine": machine, "database": health}
        )
    else:
        for line in check_lines(checks, optional=_OPTIONAL):
            say(line)
    if not is_healthy:
        raise typer.Exit(FAILED_EXIT)


def _machine_checks() -> tuple[list[Check], dict[str, Any] | None]:
    """Ask the engine, which alone imports torch."""
    versions = [f"{name} {metadata.version(name)}" for name in ("vld-tui", *_LIBRARIES)]
    checks = [Check("interface", True, f"Python {sys.version.split()[0]}, {', '.join(versions)}")]
    try:
        machine: dict[str, Any] = ask_engine("doctor")
    except LaunchError as error:
        return [*checks, Check("engine", False, str(error))], None
    libraries = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    checks += [
        Check("system", True, f"{machine['platform']}, {plural(machine['cpu_threads'], 'core')}"),
        Check("engine", True, libraries),
    ]
    for device in machine["devices"]:
        precisions = machine["precisions"].get(device["device"], [])
        memory = f", {device['memory_gib']:.1f} GiB" if device.get("memory_gib") else ""
        works = ", ".join(precisions) or "no working precision"
        checks.append(
            Check(device["device"], bool(precisions), f"{device['name']}{memory}: {works}")
        )
    packaged = machine["packaged_weights"]
    finding = ", ".join(packaged) or "none packaged: vld run downloads them, or needs --weights"
    checks.append(Check("weights", bool(packaged), finding))
    return checks, machine


def _cluster_check() -> Check:
    """Check Slurm if it is installed."""
    if not commands.is_slurm_here():
        return Check(_CLUSTER, True, "not installed; runs use this machine")
    try:
        commands.require_controller()
        require_submitit()
    except SlurmError as error:
        return Check(_CLUSTER, False, str(error))
    return Check(_CLUSTER, True, f"reachable; submitit {metadata.version('submitit')}")


def _home_checks(home: Home) -> tuple[list[Check], dict[str, Any] | None]:
    checks = [Check("home", True, str(home.path))]
    try:
        with Store.open(home) as store:
            health = store.health()
            notified = _notification_check(store)
    except StoreError as error:
        return [*checks, Check("database", False, str(error))], None
    free = health["free_bytes"]
    enough = free >= LEAST_FREE_BYTES
    advice = "" if enough else f"; a run may need {size(LEAST_FREE_BYTES)}"
    checks.append(Check("disk", enough, f"{size(free)} free{advice}"))
    is_sound = health["integrity"] == "ok" and health["schema"] == health["newest_schema"]
    checks.append(
        Check(
            "database",
            is_sound,
            f"integrity {health['integrity']}, schema {health['schema']} of "
            f"{health['newest_schema']}, {size(health['database_bytes'])}",
        )
    )
    checks.append(
        Check(
            "history",
            True,
            f"{plural(health['runs'], 'run')}, {health['live']} live, {health['trashed']} in the "
            f"trash, {size(health['checkpoint_bytes'])} of checkpoints",
        )
    )
    checks.append(notified)
    return checks, health


def _notification_check(store: Store) -> Check:
    config, failure = store.notifications.config, store.notifications.last_failure()
    if not config.is_on:
        return Check(_NOTIFICATIONS, True, "off; vld config set notify.command turns them on")
    if (problem := why_unsendable(config)) is not None:
        return Check(_NOTIFICATIONS, False, problem)
    if failure is not None:
        return Check(_NOTIFICATIONS, False, " ".join(failure_lines([failure])))
    to = " and ".join(name for name in ("command", "webhook") if getattr(config, name))
    return Check(_NOTIFICATIONS, True, f"{to}, on {', '.join(config.on)}")
