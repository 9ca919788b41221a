"""A home in which every text that can come from outside is hostile."""

from __future__ import annotations

import msgspec

from engine.protocol import Cautioned, Metric, RunFailed, RunSpec
from tests.vld_tui.store import told_runs
from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

STEERING = (
    "\x1b[31m\x1b]0;owned\x07\x1b]8;;http://x\x1b\\\x1b]52;c;cm0gLXJm\x07\x9b2J\x9d0;x\x9c"
    "\u202e\u2066\u200b\u2028\r\x08\x7f"
)
"""CSI, window title, hyperlink, clipboard, their C1 forms, direction and invisible signs."""
MARKUP = "[bold red]x[/] [@click=app.quit]y[/] [/]"
PAGE = "<script>alert(1)</script>\"'><img src=x>&"
LATEX = "\\input{/etc/passwd}$\\frac%#_^~"
HOSTILE = f"=cmd {STEERING}{MARKUP}{PAGE}{LATEX}".replace("/", "⁄")
"""For names, which hold no ``/``."""
TEXT = f"=cmd {STEERING}{MARKUP}{PAGE}{LATEX}"
WORD = TEXT.replace(" ", "_").replace("\u2028", "").replace("\r", "")
"""For tags, which hold no space."""

OBEYED = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n"} | set(
    "\u202e\u2066\u200b\u2028"
)
"""What must not reach a terminal."""


def plant(home: Home) -> list[str]:
    """Make a finished and a failed run of hostile texts; return their ids."""
    spec = RunSpec(dataset=f"d {TEXT}", target=f"t {TEXT}", steps=20, model=f"m {TEXT}")
    with Store.open(open_home(home.path)) as store:
        runs = [
            store.runs.create(spec, name=f"{number}{HOSTILE}"[:100], tags=(f"g{WORD}"[:64],))
            for number in range(2)
        ]
        for run in runs:
            store.labels.set_note(run.run_id, f"note {TEXT}")
            run_dir = home.run_dir(run.run_id)
            _tell(Teller(run_dir), is_failed=run is runs[1])
            run_dir.log.write_text(f"the engine said {TEXT}\n", newline="")
        store.live.refresh()
    return [run.run_id for run in runs]


def _tell(teller: Teller, *, is_failed: bool) -> None:
    names = [f"{at} {TEXT}" for at in range(3)]
    prepared = told_runs.data_prepared()
    domains = [
        msgspec.structs.replace(domain, name=name)
        for domain, name in zip(prepared.domains, names, strict=True)
    ]
    measured = told_runs.evaluation(10, id_accuracy=0.7, ood_accuracy=0.5)
    metrics = [
        Metric("out", name, f"arm {TEXT}"[:40], "accuracy", 0.5) for name in names
    ] + measured.metrics
    teller.says(
        msgspec.structs.replace(
            told_runs.started(), host=f"h {TEXT}", versions={f"v{TEXT}": TEXT}, commit=TEXT
        ),
        msgspec.structs.replace(
            prepared, dataset=TEXT, target=names[2], classes=[f"a{TEXT}", f"b{TEXT}"],
            domains=domains, skipped=[f"{TEXT}.png"],
        ),
        msgspec.structs.replace(
            told_runs.model_prepared(), model=TEXT, weights=TEXT, device_name=TEXT, device=TEXT
        ),
        Cautioned(message=f"caution {TEXT}"),
        told_runs.steps_taken(10, 1.5),
        msgspec.structs.replace(measured, metrics=metrics),
        msgspec.structs.replace(told_runs.collapsed(10), predicted_class=TEXT, advice=TEXT),
    )  # fmt: skip
    if is_failed:
        teller.says(
            RunFailed(error=TEXT, message=f"m {TEXT}", traceback=TEXT, step=10, refused=False)
        )
    else:
        teller.says(told_runs.finished(20, selected_step=10, id_accuracy=0.7, ood_accuracy=0.5))


def obeyed_in(text: str) -> set[str]:
    """Return the signs in a text that would steer a terminal."""
    return OBEYED & set(text)
