"""The cluster options of commands, generated from the job settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

import msgspec
import typer

from engine.protocol import FieldInfo, RunSpec
from vld_tui.cli.command import proposes
from vld_tui.cli.errors import FAILED_EXIT, CommandError, check_choice
from vld_tui.cli.options import option_of, with_options
from vld_tui.cli.output import print_json, say, suggest, with_home
from vld_tui.control.records import run_records
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import (
    SETTINGS,
    SlurmSettings,
    make_settings,
    read_profile,
    refuse_secrets,
    settings_as_values,
    settings_in_full,
)
from vld_tui.launch.slurm.submit import Need, Submission
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

PANEL: Final = "Cluster"
PLACES: Final = ("local", "slurm")


def on_option(default: str) -> Any:
    """Return the ``--on`` option; its help shows where runs go by default."""
    return typer.Option(
        "--on", metavar="|".join(PLACES), rich_help_panel=PANEL, show_default=False,
        help=f"Run on this machine or a Slurm cluster. [default: {default}]",
    )  # fmt: skip


def profile_option(default: str) -> Any:
    """Return the ``--profile`` option; its help shows which settings apply by default."""
    return typer.Option(
        "--profile", metavar="NAME", rich_help_panel=PANEL, show_default=False,
        help=f"Profile of settings. [default: {default}]", autocompletion=proposes("profiles"),
    )  # fmt: skip


OnOption = Annotated[str | None, on_option("as last time")]
ProfileOption = Annotated[str | None, profile_option("previous settings, else profile 'default'")]


def with_slurm_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` one keyword option for every job setting, in addition to its own.

    They arrive in ``given`` with others; :class:`Asked` takes them.
    """
    options = (
        option_of(
            info,
            [_usual(info)],
            panel=PANEL,
            keyword=_keyword(name),
        )
        for name, info in SETTINGS.items()
    )
    return with_options(function, options)


@dataclass(frozen=True)
class Asked:
    """The cluster options that were given: ``--on``, ``--profile``, and settings by name."""

    place: str | None
    profile: str | None
    named: dict[str, Any]

    @classmethod
    def take(cls, place: str | None, profile: str | None, given: dict[str, Any]) -> Self:
        """Return the options that were given, removing the settings from ``given``.

        Raises:
            CommandError: for an unknown value of ``--on``.
        """
        named = {name: given.pop(_keyword(name), None) for name in SETTINGS}
        named = {name: value for name, value in named.items() if value not in (None, (), [])}
        if place is not None:
            check_choice("--on", place, PLACES)
        return cls(place, profile, named)

    def settings(self, home: Home, last: SlurmSettings | None = None) -> SlurmSettings | None:
        """Return the job settings, or None to run on this machine.

        ``last``: the settings of last time, used again unless ``--on`` says otherwise.

        Raises:
            CommandError, SlurmError: for invalid settings, or settings without a cluster.
        """
        if self.place == "slurm" or (self.place is None and last is not None):
            return self.on_cluster(home, last)
        if self.named or self.profile:
            flag = f"--{next(iter(self.named)).replace('_', '-')}" if self.named else "--profile"
            raise CommandError(f"{flag} applies only to cluster runs; add --on slurm.")
        return None

    def on_cluster(self, home: Home, last: SlurmSettings | None = None) -> SlurmSettings:
        """Return the job settings: those of last time or of the profile, overridden by options.

        Raises:
            SlurmError: for invalid settings.
        """
        refuse_secrets(self.named)
        if last is not None and self.is_as_before:
            values = settings_in_full(last)
        else:
            values = read_profile(home, self.profile)
        return make_settings({**values, **self.named})

    @property
    def is_as_before(self) -> bool:
        """Return whether the settings of last time apply."""
        return self.place != "local" and self.profile is None

    def refuse_contradiction(self, specs: Iterable[RunSpec]) -> None:
        """Check that --gpus-per-run agrees with the runs' ``gpus``; profiles are overridden.

        Raises:
            SlurmError: when it does not.
        """
        given = self.named.get("gpus_per_run")
        for spec in specs:
            need = Need.of(spec).gpus
            if given is not None and need > 1 and given != str(need):
                raise SlurmError(
                    f"--gpus-per-run is {given}, but the run uses {need} GPUs (gpus = {need}). "
                    "Drop --gpus-per-run."
                )

    def where(self, settings: SlurmSettings | None, last: SlurmSettings | None) -> str:
        """Describe where runs go, and how to change it if that was not asked for."""
        if settings is None:
            return "this machine"
        again = ", as last time" if last is not None and self.is_as_before else ""
        if again and self.named:
            again += f" except {', '.join(self.named)}"
        asks = [
            f"{name}={each}"
            for name, value in settings_as_values(settings).items()
            for each in (value if isinstance(value, list) else [value])
        ]
        with_ = f" ({', '.join(asks)})" if asks else ""
        return f"slurm{again}{with_}{'' if self.place else '; use --on local to run here'}"


def place_record(settings: SlurmSettings | None) -> dict[str, object]:
    """Return where runs go, for scripts."""
    if settings is None:
        return {"on": "local", "settings": {}}
    return {"on": "slurm", "settings": settings_as_values(settings)}


def tell_slow() -> None:
    """Report that the cluster is slow to answer."""
    say("still waiting for sbatch; with a full queue, it retries for two minutes", to_stderr=True)


def tell_submission(submission: Submission, later: str) -> None:
    """Print what was submitted, what was not and why, and what to do ``later``.

    Raises:
        typer.Exit: with 1 when some runs were not submitted.
    """
    if submission.submitted:
        say(f"submitted {plural(len(submission.submitted), 'run')} as {submission.jobs}")
    if submission.left:
        say(submission.why_left)
        for line in (submission.refusal or "").splitlines()[1:]:
            say(f"  {line}")
        say(with_home(f"  {later}"))
        raise typer.Exit(FAILED_EXIT)


def print_submission(submission: Submission, record: Mapping[str, object]) -> None:
    """Print the submission and ``record`` as JSON.

    Raises:
        typer.Exit: with 1 when some runs were not submitted.
    """
    print_json({**record, **msgspec.to_builtins(submission), "left": len(submission.left)})
    if submission.left:
        raise typer.Exit(FAILED_EXIT)


def tell_submitted(store: Store, run: Run, *, as_json: bool) -> None:
    """Print a run's job and the next commands."""
    if as_json:
        print_json(run_records(store, [run])[0])
        return
    say(f"run {run.run_id}  {run.label} · job {run.job}")
    suggest(
        [
            (f"vld show {run.run_id}", "state, and why it is queued"),
            (f"vld logs -f {run.run_id}", "follow its log"),
            (f"vld stop {run.run_id}", "remove it from the queue, or save and stop once it runs"),
        ]
    )


def _keyword(name: str) -> str:
    """Return the parameter name of a setting, distinct from the fields of a run."""
    return f"slurm_{name}"


def _usual(info: FieldInfo) -> str:
    if info.base is tuple:
        return "repeatable"
    return f"default: {'cluster default' if info.default is None else info.default}"
