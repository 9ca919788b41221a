"""The lists, the slider and the presets of the form that makes runs."""

from __future__ import annotations

from textual.widgets import Input

from engine.protocol import resolve_spec
from engine.protocol.datasets import DatasetListing, DomainListing
from tests.vld_tui.dashboard.fake_history import FakeActions, screen_lines
from tests.vld_tui.dashboard.fake_planner import DRAWN, FakePlanner
from tests.vld_tui.dashboard.new_run_form import Form, use_form
from vld_tui.dashboard.screens.new_run.asking import NetworksFound
from vld_tui.dashboard.screens.new_run.screen import NewRun
from vld_tui.dashboard.screens.pick import Pick
from vld_tui.dashboard.widgets.form import FieldLine
from vld_tui.dashboard.widgets.slider import Slider
from vld_tui.study.planner import Network

HOSTILE = "[red]x[/red] \x1b[31m \u202e名前"
SHOWN = "[red]x[/red] ␛[31m \\u202e名前"


def test_data_sets_say_what_they_hold_and_whether_they_are_here() -> None:
    async def use(form: Form) -> None:
        form.app.screen.query_one("#dataset", Input).focus()
        await form.press("enter")
        drawn, pacs, folder = form.picks
        assert "3,000 images · 2 classes · 3 domains" in drawn
        assert "not on this machine" in pacs
        assert "vld data fetch PACS" in pacs
        assert folder.startswith("a folder…")
        await form.press("down", "enter")
        assert (form.text("dataset"), form.text("target")) == ("PACS", "")
        await form.press("enter", "down", "enter")
        await form.wait()
        assert form.focused == "data_dir", "a folder is typed"

    use_form(use)


def test_domains_say_how_many_images_they_have() -> None:
    async def use(form: Form) -> None:
        form.app.screen.query_one("#target", Input).focus()
        await form.press("enter")
        assert form.picks[1].split() == ["emoji", "1,000", "images"]
        assert form.line("3,000 images · 2 classes · 3 domains")
        await form.press("l", "i", "n", "enter")
        assert form.text("target") == "lineart"
        assert "1,000 images left out · sources clipart emoji" in form.line("• target")
        await form.press("enter", "escape")
        assert isinstance(form.app.screen, NewRun), "esc closes the list, not the form"

    use_form(use, size=(200, 50))


def test_no_domain_can_be_left_out() -> None:
    async def use(form: Form) -> None:
        form.app.screen.query_one("#target", Input).focus()
        await form.press("enter")
        assert form.picks[-1].split()[:4] == ["none", "trains", "on", "every"]
        await form.press("n", "o", "n", "e", "enter")
        assert form.text("target") == "none"
        said = "no OOD accuracy · sources clipart emoji lineart"
        assert said in form.line("• target")
        await form.press("ctrl+l")

    assert use_form(use, size=(200, 50)).done == [("queue", resolve_spec({"target": "none"}))]


def test_networks_are_found_by_words_and_marked_when_here() -> None:
    planner = FakePlanner()
    planner.found += tuple(Network(f"net{n}", "hub") for n in range(300))

    async def use(form: Form) -> None:
        assert "packaged: works offline" in form.line("tf_efficientnet_lite0")
        form.app.screen.query_one("#model", Input).focus()
        await form.press("enter")
        assert "✓ packaged: works offline" in form.picks[0]
        assert "103 more; type to narrow the list" in "".join(screen_lines(form.app))
        await form.press("r", "e", "s", "*", "t", "v", "2")
        assert [pick.split()[0] for pick in form.picks] == ["resnet50.tv2_in1k"]
        await form.press("x", "enter")
        assert form.picks == []
        await form.press("backspace", "enter")
        assert form.text("model") == "resnet50.tv2_in1k"
        await form.fill(model="resnet50")
        assert "timm's choice of 1 set of weights" in form.line("• model")
        await form.fill(model="no network")
        assert "not a known network" in form.line("• model")

    use_form(use, planner=planner)


def test_the_form_is_of_use_before_the_networks_are_known() -> None:
    planner = FakePlanner()
    planner.found = ()

    async def use(form: Form) -> None:
        form.app.screen.query_one("#model", Input).focus()
        await form.press("enter")
        assert form.picks == []
        form.app.screen_stack[-2].post_message(NetworksFound((Network("new", "cached"),)))
        await form.wait()
        assert [pick.split()[0] for pick in form.picks] == ["new"], "the open list fills up"
        found = (Network("newer", "cached"), Network("new", "cached"))
        form.app.screen_stack[-2].post_message(NetworksFound(found))
        await form.wait()
        assert len(form.picks) == 2, "and the cursor stays on the same"
        await form.press("enter", "ctrl+r")

    assert use_form(use, planner=planner).done == [("start", resolve_spec({"model": "new"}))]


def test_words_and_truths_are_picked_too() -> None:
    async def use(form: Form) -> None:
        form.app.screen.query_one("#recipe", Input).focus()
        await form.press("enter")
        assert "resnet50.tv2_in1k · 10,001 steps · sgd 0.001 · 1 mask" in form.picks[1]
        await form.press("down", "enter")
        assert (form.text("recipe"), form.text("masks")) == ("paper", "1")
        await form.unfold()
        form.app.screen.query_one("#freeze_batchnorm", Input).focus()
        await form.press("enter", "down", "enter")
        assert form.verdict.endswith("\nvld run --recipe paper --no-freeze-batchnorm")

    use_form(use)


def test_the_slider_stops_at_the_papers_rates() -> None:
    async def use(form: Form) -> None:
        slider = form.app.screen.query_one(Slider)
        assert form.app.focused is slider, "what one comes for"
        await form.press("right", "right")
        assert form.text("dropout_rate") == "0.95"
        await form.press("left", "left", "left", "left", "left")
        assert form.text("dropout_rate") == "0"
        await form.press("shift+right", "shift+right")
        assert form.text("dropout_rate") == "0.02"
        await form.press("0", ".", "7", "enter")
        assert (form.text("dropout_rate"), slider.value) == ("0.7", 0.7)
        await form.fill(dropout_rate="much")
        assert slider.value is None
        await form.pilot.click(slider, offset=(slider.size.width - 1, 0))
        assert form.text("dropout_rate") == "0.99"
        middle = round((slider.size.width - 1) / 2)
        await form.pilot.click(slider, offset=(middle, 0))
        assert form.text("dropout_rate") == "0.5", "a stop is met exactly"

    use_form(use)


def test_a_mouse_opens_lists_and_groups() -> None:
    async def use(form: Form) -> None:
        line = form.app.screen.query(FieldLine).first()
        await form.pilot.click(line, offset=(21 + line.value_cells + 1, 0))
        assert isinstance(form.app.screen, Pick)
        await form.pilot.click("OptionList", offset=(3, 1))
        assert form.text("dataset") == "PACS"
        await form.pilot.click(line, offset=(3, 0))
        assert form.focused == "dataset"
        await form.pilot.click("GroupTitle")
        assert form.app.screen.query("#data_dir")

    use_form(use)


def test_presets_are_kept_loaded_changed_and_forgotten() -> None:
    planner, actions = FakePlanner(), FakeActions()

    async def use(form: Form) -> None:
        await form.fill(recipe="paper", seed="0,1", target="lineart")
        await form.press("ctrl+s", *"mine", "enter")
        assert planner.kept == {"mine": {"target": "lineart", "recipe": "paper", "seed": "0,1"}}
        assert "preset mine ▾" in form.line("New run")
        await form.fill(seed="")
        assert "preset mine (changed) ▾" in form.line("New run")
        await form.press("ctrl+o")
        assert form.picks == ["mine  target lineart · recipe paper · seed 0,1"]
        await form.press("enter")
        assert (form.text("seed"), form.text("steps")) == ("0,1", "10001")
        await form.press("ctrl+o", "ctrl+d", "n")
        assert len(form.picks) == 1
        await form.press("ctrl+d", "y")
        assert form.picks == []
        await form.press("escape")
        assert "no presets yet" in form.line("New run")
        await form.press("ctrl+r")

    use_form(use, planner=planner, actions=actions)
    assert planner.kept == {}
    assert [len(what) for what in actions.done] == [3], "one order of two runs"


def test_a_preset_of_another_version_is_loaded_as_far_as_it_goes() -> None:
    planner = FakePlanner()
    planner.kept = {"old": {"no such field": "1", "masks": "many"}}

    async def use(form: Form) -> None:
        await form.press("ctrl+o", "enter")
        assert form.text("masks") == "many"
        assert form.verdict.startswith("--masks is 'many', but must be")

    use_form(use, planner=planner)


def test_hostile_names_are_shown_as_text() -> None:
    planner = FakePlanner()
    domains = (DomainListing(f"a{HOSTILE}", 1), DomainListing(f"b{HOSTILE}", 2))
    evil = DatasetListing(f"c{HOSTILE}", domains, (HOSTILE, "x"), "/evil", complete=True)
    planner.listings = (DRAWN, evil)
    planner.kept = {f"d{HOSTILE}": {"model": f"e{HOSTILE}"}}

    async def use(form: Form) -> None:
        await form.press("ctrl+o")
        assert form.picks == [f"d{SHOWN}  model e{SHOWN}"]
        await form.press("ctrl+d", "escape", "enter")
        form.app.screen.query_one("#dataset", Input).focus()
        await form.press("enter")
        assert form.picks[1].startswith(f"c{SHOWN}  3 images · 2 classes")
        await form.press("down", "enter")
        form.app.screen.query_one("#target", Input).focus()
        await form.press("enter", "down", "enter")
        await form.wait()
        assert f"2 images left out · sources a{SHOWN}" in form.line("• target")
        for line in screen_lines(form.app):
            assert "\x1b" not in line
            assert "\u202e" not in line

    use_form(use, planner=planner, size=(200, 50))
