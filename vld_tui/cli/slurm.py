"""The options that send runs to a cluster, made from the settings of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

import msgspec
import typer

from engine.protocol import FieldInfo, RunSpec
from vld_tui.cli.command import proposes
from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.cli.hints import with_home
from vld_tui.cli.options import option_of, with_options
from vld_tui.cli.output import print_json, say
from vld_tui.control.export import run_records
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.profiles import read_profile, settings_as_values, settings_in_full
from vld_tui.launch.slurm.settings import SETTINGS, SlurmSettings, make_settings
from vld_tui.launch.slurm.submit import Need, Submission
from vld_tui.launch.slurm.variables import refuse_secrets
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

PANEL: Final = "On a cluster"
PLACES: Final = ("local", "slurm")
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="local|slurm",
        help="Where runs go: this machine, or a Slurm cluster [default: where they went last].",
        rich_help_panel=PANEL, show_default=False,
    ),
]  # fmt: skip
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="NAME", show_default=False, rich_help_panel=PANEL,
        autocompletion=proposes("profiles"),
        help="Settings kept with vld profile [default: those of last time, or of default].",
    ),
]  # fmt: skip


def with_slurm_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` one keyword option for every setting of a job, beside its own.

    They arrive in ``given`` beside others; :class:`Asked` takes them.
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
    """What was typed of where runs go: ``--on``, ``--profile``, and settings by name."""

    place: str | None
    profile: str | None
    named: dict[str, Any]

    @classmethod
    def take(cls, place: str | None, profile: str | None, given: dict[str, Any]) -> Self:
        """Return what was typed; the settings are taken out of ``given``.

        Raises:
            CommandError: for a place that there is not.
        """
        named = {name: given.pop(_keyword(name), None) for name in SETTINGS}
        named = {name: value for name, value in named.items() if value not in (None, (), [])}
        if place not in (None, *PLACES):
            raise CommandError(f"--on is {place!r}, but must be {' or '.join(PLACES)}.")
        return cls(place, profile, named)

    def settings(self, home: Home, last: SlurmSettings | None = None) -> SlurmSettings | None:
        """Return what the jobs ask of the cluster; None: the runs stay here.

        ``last``: what they asked the last time; they go there again unless ``--on`` says.

        Raises:
            CommandError, SlurmError: for settings that make no sense, or none without a cluster.
        """
        if self.place == "slurm" or (self.place is None and last is not None):
            return self.on_cluster(home, last)
        if self.named or self.profile:
            flag = f"--{next(iter(self.named)).replace('_', '-')}" if self.named else "--profile"
            raise CommandError(f"{flag} is for runs on a cluster: give --on slurm too.")
        return None

    def on_cluster(self, home: Home, last: SlurmSettings | None = None) -> SlurmSettings:
        """Return what the jobs ask: as the last time, or as the profile that is named or goes
        unsaid; settings that are named win.

        Raises:
            SlurmError: for settings that make no sense.
        """
        refuse_secrets(self.named)
        if last is not None and self.is_as_before:
            values = settings_in_full(last)
        else:
            values = read_profile(home, self.profile)
        return make_settings({**values, **self.named})

    @property
    def is_as_before(self) -> bool:
        """Say whether what runs asked of a cluster the last time still counts."""
        return self.place != "local" and self.profile is None

    def refuse_contradiction(self, specs: Iterable[RunSpec]) -> None:
        """Refuse to name other GPUs for each run than those that share its batches.

        Raises:
            SlurmError: when that was typed; what a profile says gives way.
        """
        given = self.named.get("gpus_per_run")
        for spec in specs:
            need = Need.of(spec).gpus
            if given is not None and need > 1 and given != str(need):
                raise SlurmError(
                    f"--gpus-per-run is {given}, but {need} GPUs share each batch (gpus is "
                    f"{need}), which gets them: leave out --gpus-per-run."
                )

    def where(self, settings: SlurmSettings | None, last: SlurmSettings | None) -> str:
        """Say where runs go by these settings, and how not to go there unasked."""
        if settings is None:
            return "this machine"
        again = ", as last time" if last is not None and self.is_as_before else ""
        if again and self.named:
            again += f" but for {', '.join(self.named)}"
        asks = [
            f"{name}={each}"
            for name, value in settings_as_values(settings).items()
            for each in (value if isinstance(value, list) else [value])
        ]
        with_ = f" ({', '.join(asks)})" if asks else ""
        return f"slurm{again}{with_}{'' if self.place else '; --on local for here'}"


def place_record(settings: SlurmSettings | None) -> dict[str, object]:
    """Return where runs go, for scripts."""
    if settings is None:
        return {"on": "local", "settings": {}}
    return {"on": "slurm", "settings": settings_as_values(settings)}


def tell_slow() -> None:
    """Say that the cluster takes long, while it does."""
    say("sbatch has no answer yet: where a queue is full, it tries for two minutes", to_stderr=True)


def tell_submission(submission: Submission, later: str) -> None:
    """Say what was submitted, and what was not, why, and what to do about it ``later``.

    Raises:
        typer.Exit: with 1 when anything was not.
    """
    if submission.submitted:
        say(f"{plural(len(submission.submitted), 'run')} submitted as {submission.jobs}")
    if submission.left:
        say(submission.why_left)
        for line in (submission.refusal or "").splitlines()[1:]:
            say(f"  {line}")
        say(f"  {later}")
        raise typer.Exit(FAILED_EXIT)


def print_submission(submission: Submission, record: Mapping[str, object]) -> None:
    """Print what was submitted and how many runs were not and why, beside what ``record`` says.

    Raises:
        typer.Exit: with 1 when anything was not.
    """
    print_json({**record, **msgspec.to_builtins(submission), "left": len(submission.left)})
    if submission.left:
        raise typer.Exit(FAILED_EXIT)


def tell_submitted(store: Store, run: Run, *, as_json: bool) -> None:
    """Say which job a run was given to, and what is worth typing next."""
    if as_json:
        print_json(run_records(store, [run])[0])
        return
    say(f"run {run.run_id}  {run.name} · job {run.job}")
    for command, purpose in (
        (f"vld show {run.run_id}", "where it stands, and why it waits"),
        (f"vld logs -f {run.run_id}", "what it says, as it comes"),
        (f"vld stop {run.run_id}", "take it out, or have it save and stop once it runs"),
    ):
        say(with_home(f"  {command}  # {purpose}"))


def _keyword(name: str) -> str:
    """Return what a setting's option is called among a command's: not what a run's field is."""
    return f"slurm_{name}"


def _usual(info: FieldInfo) -> str:
    if info.base is tuple:
        return "may be given several times"
    return "default: the cluster's" if info.default is None else f"default: {info.default}"
