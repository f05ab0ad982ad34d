"""`cmvigil unmapped`: what a map of codes is written from."""

import json

import pytest
from typer.testing import CliRunner

from streams.cli import app
from tests.streams.test_replay import dose, lab, ndjson, observation

LOG = (
    ndjson(
        dose(),
        dose("A2", drug="FOSC"),
        dose("A3", unit="furlong"),
        lab(),
        *(lab(f"L{i}", code="K") for i in range(3)),
        lab("L8", unit="mmol per L"),
        lab("L9", value=-1),
        observation(code={"coding": [{"system": "http://example.org", "code": "KAL"}]}),
        {"type": "patient", "event_id": "D1", "patient_id": "p1", "recorded_at": "2026-03-04T10:00:00Z"},
    )
    + b"broken\n"
)


def unmapped(tmp_path, *arguments, data=LOG):
    (tmp_path / "log").write_bytes(data)
    done = CliRunner().invoke(app, ["unmapped", str(tmp_path / "log"), *arguments])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_codes_and_units_that_no_rule_knows_by_count(tmp_path):
    lines = [json.loads(line) for line in unmapped(tmp_path, "--json").splitlines()]
    assert [tuple(line.values()) for line in lines] == [
        ("lab", "K", "mmol/L", False, 3),
        ("administration", "FOSC", "mg", False, 1),
        ("administration", "foscarnet", "furlong", True, 1),
        ("fhir", "KAL", None, False, 1),
        ("lab", "2823-3", "mmol per L", True, 1),
    ]


def test_a_map_leaves_only_what_it_does_not_name(tmp_path):
    (tmp_path / "map.toml").write_text(
        '[labs.K]\nloinc = "2823-3"\n[labs.KAL]\nloinc = "2823-3"\n[drugs.FOSC]\ndrug = "foscarnet"\n'
    )
    lines = unmapped(tmp_path, "--json", "--codes", str(tmp_path / "map.toml")).splitlines()
    assert {json.loads(line)["code"] for line in lines} == {"foscarnet", "2823-3"}


def test_the_table(tmp_path):
    text = unmapped(tmp_path)
    assert "FOSC" in text
    assert "furlong" in text


def test_meds_rows_are_counted_by_code(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"subject_id": [1, 1], "time": [None, None], "code": ["HR", "HR"]}), path)
    done = CliRunner().invoke(app, ["unmapped", str(path), "--json"])
    assert json.loads(done.stdout) == {"kind": "meds", "code": "HR", "unit": None, "watched": False, "count": 2}


def test_a_log_that_is_not_there():
    assert CliRunner().invoke(app, ["unmapped", "none.ndjson"]).exit_code == 2
