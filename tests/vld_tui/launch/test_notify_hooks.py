"""The command and the webhook of notifications: a real shell, and a real server on this machine."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.vld_tui.launch.webhook_service import Service, serving
from tests.waiting import wait_until
from vld_tui.config import WebhookFormat
from vld_tui.launch.notify.address import WebhookError, missing_variables, resolved
from vld_tui.launch.notify.command import Sent, run_command
from vld_tui.launch.notify.message import Message, format_of
from vld_tui.launch.notify.webhook import post

MESSAGE = Message(
    id="1f", event="failed", time=1.5, text="a <b> failed: loss & NaN @everyone",
    host="node", home="/home", run={"run": "250101-000000-aaaa", "status": "failed"},
)  # fmt: skip


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


def posted(
    url: str, form: WebhookFormat = "auto", *, timeout_s: float = 10.0, tries: int = 1, **given: str
) -> Sent:
    return post(
        url, form, MESSAGE, timeout_s=timeout_s, environment=given, pauses_s=(0.0,) * (tries - 1)
    )


def ran(command: str, folder: Path, *, timeout_s: float = 20.0, **given: str) -> Sent:
    environment = {**os.environ, **given}
    return run_command(
        command, MESSAGE, timeout_s=timeout_s, folder=folder, environment=environment
    )


def test_the_command_reads_the_event_as_json(tmp_path: Path) -> None:
    sent = ran('cat > got.json; printf "%s|%s" "$VLD_EVENT" "$VLD_TEXT" > got.txt', tmp_path)
    assert (sent.how, sent.problem) == ("exit code 0", None)
    got = json.loads((tmp_path / "got.json").read_text())
    assert (got["id"], got["event"], got["text"]) == (MESSAGE.id, "failed", MESSAGE.text)
    assert got["run"] == MESSAGE.run
    assert (tmp_path / "got.txt").read_text() == f"failed|{MESSAGE.text}"


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("echo first; echo it broke >&2; exit 3", "exit code 3: it broke"),
        ("exit 1", "exit code 1"),
        ("kill -9 $$", "killed by signal 9"),
        ("./not-executable", "exit code 126: /bin/sh: 1: ./not-executable: Permission denied"),
        ("./missing", "exit code 127: /bin/sh: 1: ./missing: not found"),
    ],
)
def test_a_command_that_fails_is_explained(tmp_path: Path, command: str, problem: str) -> None:
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    found = ran(command, tmp_path).problem
    assert found is not None
    assert found.split(":")[0] == problem.split(":", maxsplit=1)[0]
    assert found.split(": ")[-1].casefold() == problem.rsplit(": ", maxsplit=1)[-1].casefold()


def test_a_command_need_not_read_its_input(tmp_path: Path) -> None:
    assert ran("true", tmp_path).problem is None


def test_a_command_may_flood_its_output(tmp_path: Path) -> None:
    sent = ran("head -c 30000000 /dev/zero; echo; echo the end; exit 1", tmp_path)
    assert sent.problem == "exit code 1: the end"


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    hangs = "trap '' TERM; sleep 300 & echo $! > child; setsid sleep 300 & echo $! > other; wait"
    started = time.monotonic()
    sent = ran(hangs, tmp_path, timeout_s=1.0)
    assert sent.problem is not None
    assert "ended after 1 s" in sent.problem
    assert time.monotonic() - started < 30
    for name in ("child", "other"):
        pid = int((tmp_path / name).read_text())
        wait_until(partial(_is_over, pid), 10)


def _is_over(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_left_in_the_background_does_not_delay_the_result(tmp_path: Path) -> None:
    sent = ran("sleep 20 & echo $! > child", tmp_path)
    os.kill(int((tmp_path / "child").read_text()), 9)
    assert sent.problem is None
    assert sent.wall_s < 15


def test_the_secrets_of_the_environment_are_not_in_the_result(tmp_path: Path) -> None:
    sent = ran('echo "bad token $MY_TOKEN"; exit 1', tmp_path, MY_TOKEN="abcdef123456")
    assert sent.problem is not None
    assert "abcdef" not in sent.problem


def test_the_plain_webhook_gets_the_event_as_json(service: Service) -> None:
    sent = posted(f"{service.url}/hook?a=b%20c")
    assert (sent.how, sent.problem) == ("HTTP 200", None)
    ((path, headers, body),) = service.taken
    assert path == "/hook?a=b%20c"
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body)["run"] == MESSAGE.run


def test_each_service_gets_its_own_shape(service: Service) -> None:
    for form in ("slack", "discord", "ntfy"):
        assert posted(f"{service.url}/topic", form).problem is None
    slack, discord, ntfy = service.taken
    assert json.loads(slack[2]) == {"text": "a &lt;b&gt; failed: loss &amp; NaN @everyone"}
    assert json.loads(discord[2]) == {"content": MESSAGE.text, "allowed_mentions": {"parse": []}}
    assert ntfy[2].decode() == MESSAGE.text
    assert (ntfy[1]["Title"], ntfy[1]["Priority"]) == ("vld: failed", "high")


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://hooks.slack.com/services/x", "slack"),
        ("https://discord.com/api/webhooks/1/x", "discord"),
        ("https://ntfy.sh/topic", "ntfy"),
        ("https://ntfy.example.org/topic", "ntfy"),
        ("https://example.org/discord.com", "json"),
    ],
)
def test_the_shape_follows_from_the_host(url: str, form: str) -> None:
    assert format_of(url, "auto") == form
    assert format_of(url, "json") == "json"


def test_the_address_may_be_in_the_environment(service: Service) -> None:
    assert posted("$HOOK", HOOK=f"{service.url}/secret").problem is None
    assert posted("${BASE}/x/$TOKEN", BASE=service.url, TOKEN="t0").problem is None
    assert [path for path, _, _ in service.taken] == ["/secret", "/x/t0"]
    assert missing_variables("https://h/$A/${B}", {"A": "x"}) == ("B",)
    with pytest.raises(WebhookError, match="B is not set"):
        resolved("https://h/$A/${B}", {"A": "x"})
    with pytest.raises(WebhookError, match="the address is not a URL"):
        resolved("$A", {"A": "file:///etc/passwd"})


def test_a_password_in_the_address_becomes_a_header(service: Service) -> None:
    url = service.url.replace("://", "://me:$PASSWORD@")
    assert posted(url, PASSWORD="a%3Ab").problem is None
    assert service.taken[0][1]["Authorization"] == "Basic " + base64.b64encode(b"me:a:b").decode()


def test_a_refusal_is_explained_without_secrets(service: Service) -> None:
    service.answers.append((403, {}, b"invalid_token s3cr3t-token\nmore"))
    sent = posted(f"{service.url}/$TOKEN", TOKEN="s3cr3t-token")
    assert sent.problem is not None
    assert sent.problem.startswith(f"{service.url} answered HTTP 403: invalid_token ")
    assert "s3cr3t" not in str(sent)
    assert len(service.taken) == 1


def test_a_service_that_is_busy_is_asked_again(service: Service) -> None:
    service.answers += [(503, {}, b""), (429, {"Retry-After": "0"}, b"")]
    assert posted(service.url, tries=3).problem is None
    assert len(service.taken) == 3


def test_a_redirect_is_not_followed(service: Service) -> None:
    service.answers.append((302, {"Location": f"{service.url}/elsewhere"}, b""))
    sent = posted(service.url)
    assert sent.problem is not None
    assert "redirects (HTTP 302)" in sent.problem
    assert len(service.taken) == 1


def test_a_service_that_hangs_is_left(service: Service) -> None:
    service.pause_s = 3.0
    sent = posted(service.url, timeout_s=0.3, tries=3)
    assert sent.problem == f"no answer from {service.url} within 0.3 s"
    assert sent.wall_s < 2
    assert len(service.taken) == 1  # it may have taken the message: not sent again


def test_a_service_that_cannot_be_reached(service: Service) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert posted(url, tries=2).problem == f"cannot reach {url}: Connection refused"
    unknown = posted("http://no-such-host.invalid/x")
    assert unknown.problem in (
        "cannot reach http://no-such-host.invalid: unknown host",
        "no answer from http://no-such-host.invalid within 10 s",  # from a name server
    )


def test_an_answer_that_is_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        sent = posted(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert sent.problem is not None
    assert "no valid answer" in sent.problem
