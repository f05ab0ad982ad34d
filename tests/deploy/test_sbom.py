"""The bill of materials names everything that is installed, at the version that is pinned, and nothing else."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SBOM = ROOT / "build" / "sbom.cdx.json"


def pinned(name):
    text = (ROOT / "requirements" / name).read_text()
    return {
        (found[1].lower().replace("_", "-"), found[2])
        for found in re.finditer(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    }


@pytest.mark.skipif(not SBOM.exists(), reason="no bill of materials: `make sbom` writes it, and `make test` with it")
def test_it_names_what_is_pinned_with_hashes_and_nothing_else():
    made = json.loads(SBOM.read_text())
    assert made["bomFormat"] == "CycloneDX"
    assert made["metadata"]["component"]["name"] == "cmvigil"
    assert {(one["name"].lower().replace("_", "-"), one["version"]) for one in made["components"]} == pinned("run.txt")
    assert all(one["purl"].startswith("pkg:pypi/") for one in made["components"])
    assert all(any(ref.get("hashes") for ref in one["externalReferences"]) for one in made["components"])


def test_everything_is_pinned_by_hash():
    for name in ("run.txt", "dev.txt", "supply.txt"):
        text = (ROOT / "requirements" / name).read_text()
        pins = len(re.findall(r"^[\w.-]+==", text, re.MULTILINE))
        assert pins
        assert len(re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)) >= pins
