"""``vld data check --distances``: how far apart the domains of a data set are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.protocol.domain_distances import ComparedDomains, DistancesOfDomain, DomainDistance
from tests.engine.datasets.image_folders import fill_folder
from tests.vld_tui.cli.conftest import Vld
from vld_tui.views.domain_distances import distance_lines

NETWORK = ("--model", "test_resnet", "--weights", "none", "--image-size", "32", "--threads", "1")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return two domains of noise and one of dark images."""
    root = fill_folder(tmp_path / "pets", {"a": ("cat", "dog"), "b": ("cat", "dog")}, 8)
    random = np.random.default_rng(1)
    for class_name in ("cat", "dog"):
        (root / "dark" / class_name).mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(0, 12, (36, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "dark" / class_name / f"{number}.png")
    return root


def test_the_domain_that_differs_is_the_farthest(vld: Vld, images: Path) -> None:
    given = ("data", "check", str(images), "--near", "0", "--distances", *NETWORK)
    done = vld(*given, "--json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    domains = {each["domain"]: each for each in record["distances"]["domains"]}
    assert set(domains) == set(record["counts"]) == {"a", "b", "dark"}
    assert domains["a"]["to"]["b"] == domains["b"]["to"]["a"]
    alike, unlike = domains["a"]["to"]["b"], domains["a"]["to"]["dark"]
    assert unlike["value"] > 3 * alike["value"]
    assert unlike["value"] > unlike["chance"]
    assert domains["dark"]["to_others"]["p_value"] == pytest.approx(1 / 101)
    shown = vld(*given)
    assert "distances between domains; test_resnet" in shown.stdout
    assert f"{unlike['value']:.3f}" in shown.stdout


def test_distances_need_domains_and_their_options_need_distances(vld: Vld, tmp_path: Path) -> None:
    one = fill_folder(tmp_path / "one", {"a": ("cat", "dog")}, 8)
    refused = vld("data", "check", str(one), "--distances", *NETWORK)
    assert refused.exit_code == 2
    assert "1 domain; distances between domains need at least two" in refused.stderr
    refused = vld("data", "check", str(one), "--model", "test_resnet")
    assert (refused.exit_code, "--model needs --distances" in refused.stderr) == (2, True)
    refused = vld("data", "check", str(one), "--batch", "8")
    assert (refused.exit_code, "--batch needs --distances" in refused.stderr) == (2, True)


def test_a_distance_within_chance_is_marked() -> None:
    near, far = DomainDistance(0.04, 0.06, 0.4), DomainDistance(0.5, 0.06, 0.01)
    found = ComparedDomains(
        "net",
        "12345678",
        (
            DistancesOfDomain("a", 9, far, {"b": near, "c": far}),
            DistancesOfDomain("b", 8, far, {"a": near, "c": far}),
            DistancesOfDomain("c", 7, far, {"a": far, "b": far}),
        ),
    )
    lines = [*distance_lines(found, None)]
    assert lines[3].split() == ["a", "9", "0.500", "0.060", "≈", "0.040", "0.500"]
    assert lines[5].split() == ["c", "7", "0.500", "0.060", "0.500", "0.500"]
    assert lines[-1].startswith("≈ within the 95% quantile")
