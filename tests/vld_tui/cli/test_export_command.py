"""``vld export``: what it writes, prints and refuses."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelCard

from engine.export import hub_folder
from engine.protocol import resolve_spec
from engine.rundir import RunDir, UserData
from tests.faults.disks import small_disk
from tests.small_runs import SMALL_RUN, run_here
from tests.vld_tui.cli.conftest import Vld
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def trained_template(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> Path:
    """Return a home with a small run, done."""
    home = tmp_path_factory.mktemp("trained") / "home"
    run_dir = RunDir(home / "runs" / "260101-000000-aaaa")
    run_dir.create(
        resolve_spec({"data_dir": str(small_emoji), **SMALL_RUN}), UserData(name="photos")
    )
    run_here(run_dir)
    vld = Vld(home)
    assert vld("rebuild").exit_code == 0
    return home


@pytest.fixture
def trained(trained_template: Path, vld: Vld) -> Vld:
    shutil.copytree(trained_template, vld.home, dirs_exist_ok=True)
    return vld


def test_files_verification_and_code_are_printed(trained: Vld, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = trained("export", "photos", "--to", "timm", str(out))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{out}: ")
    assert "verified on 16 images: same class for 16" in done.stdout
    assert "image transform: identical" in done.stdout
    assert lines[-2:] == [
        f'  model = timm.create_model("local-dir:{out}", pretrained=True).eval()',
        "  transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))",
    ]
    again = trained("export", "photos", "--to", "timm", str(out))
    assert (again.exit_code, "--force" in again.stderr) == (2, True)
    record = trained.json("export", "photos", "--to", "hub", str(out), "--force")
    assert record["classes"] == ["animal", "face", "food"]
    assert [each["name"] for each in record["files"]] == sorted(os.listdir(out))
    assert record["size_bytes"] == sum(each.stat().st_size for each in out.iterdir())
    assert record["verification"]["transform_difference"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "tf"), "--to is 'tf', but must be timm, onnx, pt2 or hub."),
        (("--to", "timm", "--at", "first"), "--at is 'first', but must be best or last."),
        (("--to", "timm", "--push", "me/x"), "--push needs --to hub, not --to timm."),
        (("--to", "timm", "--arm", "averaged"), "has no arm averaged; it has dropout."),
    ],
)
def test_wrong_options_are_refused(
    trained: Vld, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    refused = trained("export", "photos", str(tmp_path / "out"), *words)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_home_that_does_not_exist_is_not_made(vld: Vld, tmp_path: Path) -> None:
    mistyped = tmp_path / "mistyped"
    words = ("--to", "timm", str(tmp_path / "out"), "--home", str(mistyped))
    refused = vld("export", "@last", *words)
    assert refused.exit_code == 2
    assert f"The home {mistyped} does not exist yet" in refused.stderr
    assert not mistyped.exists()


def test_a_network_in_a_home_that_is_only_read_is_exported(
    trained_template: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        shutil.copytree(trained_template, disk / "home")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = Vld(disk / "home")("export", "photos", "--to", "timm", str(tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_a_run_in_the_trash_is_refused(trained: Vld, tmp_path: Path) -> None:
    assert trained("rm", "photos", "--yes").exit_code == 0
    refused = trained("export", "260101-000000-aaaa", "--to", "timm", str(tmp_path / "out"))
    assert refused.exit_code == 2
    assert "vld restore" in refused.stderr


def test_without_a_token_or_a_network_nothing_is_pushed(
    trained: Vld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("export", "photos", "--to", "hub", str(tmp_path / "out"), "--push")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    refused = trained(*words, "me/photos")
    assert (refused.exit_code, "Log in with: hf auth login" in refused.stderr) == (2, True)
    monkeypatch.setenv("HF_TOKEN", "hf_thisisnotreal")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused = trained(*words, "me/photos")
    assert (refused.exit_code, "cannot reach http://127.0.0.1:9" in refused.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


class _Hub(ThreadingHTTPServer):
    """A hub that knows the user; ``files`` are what was committed to it."""

    def __init__(self, *, accepts: bool) -> None:
        super().__init__(("127.0.0.1", 0), _HubRequest)
        self.accepts = accepts
        self.files: dict[str, bytes] = {}


class _HubRequest(BaseHTTPRequestHandler):
    server: _Hub

    def do_GET(self) -> None:
        if self.path == "/api/whoami-v2":
            self._answer(200, {"name": "me", "type": "user"})
        elif "/tree/main" in self.path:
            files = self.server.files.items()
            listed = [
                {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                for path, content in files
            ]
            self._answer(200, listed)
        else:
            self._answer(404, {"error": "Repository not found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.server.accepts:
            self._answer(403, {"error": "You have no rights to create a model under someone."})
        elif self.path == "/api/repos/create":
            asked = json.loads(body)  # of an old or a new client
            assert asked.get("private") is True or asked["visibility"] == "private"
            self._answer(200, {"url": "http://127.0.0.1/someone/photos", "id": "someone/photos"})
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            modes = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            self._answer(200, {"files": modes})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[line["value"]["path"]] = content
                elif line["key"] == "deletedFile":
                    del self.server.files[line["value"]["path"]]
            address = f"http://{self.headers['Host']}/someone/photos/commit/{'0' * 40}"
            self._answer(200, {"commitUrl": address, "commitOid": "0" * 40})
        else:
            self._answer(404, {"error": self.path})

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, content: Any) -> None:
        reason = content.get("error", "") if isinstance(content, dict) else ""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Error-Message", reason)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("accepts", [True, False])
def test_a_hub_folder_is_uploaded_and_remains(
    trained: Vld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accepts: bool
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", "hf_thisisnotreal")
    with _Hub(accepts=accepts) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        done = trained("export", "photos", "--to", "hub", str(out), "--push", "someone/photos")
        hub.shutdown()
    card = ModelCard.load(out / "README.md")
    assert 'hf-hub:someone/photos"' in card.text
    assert (card.data.library_name, card.data.pipeline_tag) == ("timm", "image-classification")
    if accepts:
        assert done.exit_code == 0, done.output
        assert f"uploaded to http://127.0.0.1:{hub.server_port}/someone/photos" in done.stdout
        names = ("README.md", "config.json", "model.safetensors")
        assert hub.files == {name: (out / name).read_bytes() for name in names}
    else:
        assert done.exit_code == 2
        assert f"{out} was written, but not uploaded: 403 Forbidden: You have no" in done.stderr
        assert f"hf upload someone/photos {out}" in done.stderr


@pytest.mark.parametrize("new", [("config.json", "model.safetensors"), ("model.pt2",)])
def test_a_push_replaces_the_files_of_another_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: tuple[str, ...]
) -> None:
    for name in ("README.md", "export.json", *new):
        (tmp_path / name).write_text("new")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with _Hub(accepts=True) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        api = HfApi(f"http://127.0.0.1:{hub.server_port}", token="hf_thisisnotreal")
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
        forms = ("config.json", "model.safetensors", "model.pt2")
        hub.files = dict.fromkeys(("README.md", "photo.jpg", "old/model.pt2", *forms), b"old")
        hub_folder.push(tmp_path, "someone/photos")
        hub.shutdown()
    kept = dict.fromkeys(("photo.jpg", "old/model.pt2"), b"old")
    assert hub.files == kept | dict.fromkeys(("README.md", *new), b"new")


def test_ctrl_c_leaves_nothing(trained: Vld, tmp_path: Path) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    words = ("export", "photos", "--to", "onnx", str(folder / "out"))
    with subprocess.Popen(
        [sys.executable, "-m", "vld_tui.cli", *words], env=trained.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        wait_until(lambda: any(folder.iterdir()), 60)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    wait_until(lambda: not any(folder.iterdir()), 60)


def test_a_model_card_shows_planted_names_as_text(
    trained: Vld, tmp_path: Path, small_emoji: Path
) -> None:
    data = tmp_path / "d|a`t*a"
    shutil.copytree(small_emoji, data)
    for domain in data.iterdir():
        (domain / "food").rename(domain / "<b>_x_")
    run_dir = RunDir(trained.home / "runs" / "260101-000000-bbbb")
    spec = resolve_spec({"data_dir": str(data), **SMALL_RUN, "steps": 8})
    run_dir.create(spec, UserData(name="planted"))
    run_here(run_dir)
    assert trained("rebuild").exit_code == 0
    done = trained("export", "planted", "--to", "hub", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    card = (tmp_path / "out" / "README.md").read_text()
    assert r"\<b\>\_x\_, animal, face" in card
    assert r"d\|a\`t\*a" in card
    assert str(tmp_path) not in card
    assert json.loads((tmp_path / "out/config.json").read_text())["label_names"][0] == "<b>_x_"
