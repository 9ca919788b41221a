"""``vld config``: settings by name, checked before they are stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.vld_tui.cli.conftest import Vld
from vld_tui.config import SETTINGS, QueueConfig
from vld_tui.dashboard.preferences import PREFERENCES_SETTING, Preferences
from vld_tui.home import Home
from vld_tui.store.store import Store


def test_a_setting_is_set_shown_and_unset(vld: Vld) -> None:
    assert vld("config", "get", "queue.slots").stdout == "0\n"
    assert vld("config", "set", "queue.slots", "3").stdout == "queue.slots  3\n"
    assert vld("config", "get", "queue.slots").stdout == "3\n"
    assert vld.json("queue", "ls")["slots"] == [None] * 3
    assert vld("queue", "slots", "2").exit_code == 0
    record = vld.json("config", "get", "queue.slots")
    assert (record["value"], record["default"], record["is_set"]) == (2, 0, True)
    assert vld("config", "unset", "queue.slots").stdout == "queue.slots  0  (default)\n"
    assert vld("config", "get", "queue.slots").stdout == "0\n"


def test_every_setting_is_listed_with_its_meaning(vld: Vld) -> None:
    vld("config", "set", "notify.timeout-s", "2.5")
    listed = vld("config", "ls").stdout
    for name, info in SETTINGS.items():
        assert name in listed
        assert info.help.rstrip(".") in listed
    assert "notify.timeout_s     2.5\n" in listed
    assert vld.json("config", "ls").keys() == SETTINGS.keys()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("notify.comand", "x", "No setting 'notify.comand'. Did you mean notify.command"),
        ("command", "x", "No setting 'command'. Did you mean notify.command?"),
        ("zzz", "x", "List them with: vld config ls"),
        ("notify.on", "finish", "Did you mean finished?"),
        ("notify.format", "slak", "must be one of auto, slack, discord, ntfy, json. Did you mean"),
        ("notify.timeout_s", "0.5", "must be a number from 1 to 300"),
        ("notify.timeout_s", "soon", "must be a number from 1 to 300"),
        ("queue.slots", "65", "queue.slots is 65, but must be a whole number from 0 to 64"),
        ("queue.gpus", "99", "No GPU '99'"),
        ("dashboard.theme", "nrod", "must be a theme. Did you mean nord?"),
        ("dashboard.notice", "loud", "must be one of off, bell, desktop"),
        ("notify.webhook", "example.org/x", "is not a URL that starts with http:// or https://"),
        ("notify.webhook", "https://", "is not a URL"),
        ("notify.webhook", "file:///etc/passwd", "is not a URL"),
        ("notify.webhook", "https://a b/", "is not a URL"),
        ("notify.command", "echo \udcff", "must be valid text"),
        ("notify.command", "echo \0", "must not contain a NUL"),
        ("dashboard.refresh_s", "nan", "must be a finite number from 0.1 to 3600"),
        ("notify.webhook", "$", "must be a URL, or $NAME for one"),
    ],
)
def test_a_mistake_is_explained(vld: Vld, name: str, value: str, told: str) -> None:
    result = vld("config", "set", name, value)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("notify.webhook", "https://hooks.slack.com/services/T0AB/B0CD/abcdefgh"),
        ("notify.webhook", "https://discord.com/api/webhooks/123/abc-def_ghi"),
        ("notify.webhook", "https://me:hunter2hunter2@example.org/"),
        ("notify.webhook", "https://example.org/?access_token=abcdefgh12"),
        ("notify.webhook", "https://ntfy.sh/x?a=tk_abcdefghijklmnopqrstuvwxyz123"),
        ("notify.command", "curl -H 'Authorization: Bearer abcdefghijkl' https://example.org"),
        ("notify.command", "MY_TOKEN=abcdefghijkl send"),
        ("notify.command", "curl https://api.telegram.org/bot123:abcdef/sendMessage"),
    ],
)
def test_a_literal_secret_is_refused(vld: Vld, name: str, value: str) -> None:
    result = vld("config", "set", name, value)
    assert result.exit_code == 2
    assert "seems to contain a secret" in result.stderr
    assert "in single quotes" in result.stderr
    assert vld("config", "get", name).stdout == "none\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("notify.webhook", "$SLACK_WEBHOOK_URL"),
        ("notify.webhook", "https://discord.com/api/webhooks/123/${DISCORD_TOKEN}"),
        ("notify.webhook", "https://:$NTFY_TOKEN@ntfy.sh/topic"),
        ("notify.webhook", "https://ntfy.sh/my-runs"),
        ("notify.webhook", "https://${HOST}:$PORT/hook"),
        ("notify.command", 'curl -H "Authorization: Bearer $MY_TOKEN" https://example.org'),
    ],
)
def test_a_secret_by_name_is_accepted(vld: Vld, name: str, value: str) -> None:
    assert vld("config", "set", name, value).exit_code == 0
    assert vld("config", "get", name).stdout == f"{value}\n"


def test_a_test_shows_what_happened(vld: Vld) -> None:
    off = vld("config", "test")
    assert off.exit_code == 2
    assert "Notifications are off" in off.stderr
    vld("config", "set", "notify.command", "cat > got.json")
    result = vld("config", "test")
    assert result.exit_code == 0
    assert result.stdout.startswith("command  sent: exit code 0, 0.")
    assert '"event":"test"' in (vld.home / "got.json").read_text()
    vld("config", "set", "notify.webhook", "http://127.0.0.1:1/$VLD_MISSING")
    failed = vld("config", "test")
    assert failed.exit_code == 1
    assert "webhook  failed" in failed.stdout
    assert "VLD_MISSING is not set in this environment" in failed.stdout


def test_settings_of_the_dashboard_keep_its_other_choices(vld: Vld) -> None:
    home = Home(vld.home)
    chosen = Preferences(theme="nord", sort="-ood", keys={"quit": "x"})
    with Store.open(home) as store:
        store.settings.put(PREFERENCES_SETTING, chosen)
    assert vld("config", "set", "dashboard.refresh_s", "5").exit_code == 0
    with Store.open(home) as store:
        found = store.settings.get(PREFERENCES_SETTING, Preferences, Preferences())
    assert (found.theme, found.sort, found.keys) == ("nord", "-ood", {"quit": "x"})
    assert found.refresh_s == 5


def test_the_slots_of_an_earlier_home_are_kept(home: Home) -> None:
    from tests.vld_tui.store.release import load

    load(home, "m016_preset_data")
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("INSERT INTO settings VALUES ('queue_slots', '5')")
        connection.execute("INSERT INTO settings VALUES ('queue_gpus', '[\"1\"]')")
    with Store.open(home) as store:
        assert store.settings.section(QueueConfig) == QueueConfig(slots=5, gpus=("1",))
