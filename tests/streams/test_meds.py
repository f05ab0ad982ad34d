"""MEDS parquet: rows as events by a site's map, what a row that is none does, and files that cannot be read."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.codes import Codes, DrugCode, LabCode, Meds, PatientCode
from streams.meds import read_meds

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT.parent / "shared" / "data" / "mimic-iv-demo-meds" / "mimic_iv_demo_meds_events.parquet"
AT = datetime(2026, 3, 4, 8)
MAP = """
[labs."LAB//K"]
loinc = "2823-3"
unit = "mmol/L"
[labs.CMV]
loinc = "72493-0"
results = { "POS" = "detected" }
[drugs.FOSC]
drug = "foscarnet"
route = "iv"
[drugs."FOSC//held"]
drug = "foscarnet"
status = "not-done"
[patients."GENDER//F"]
sex = "female"
"""
CODES = Codes(
    {"LAB//K": LabCode("2823-3", "mmol/L"), "CMV": LabCode("72493-0", results={"POS": "detected"})},
    {"FOSC": DrugCode("foscarnet", route="iv")},
    {"GENDER//F": PatientCode(sex="female"), "HIV": PatientCode(hiv=True), "HCT": PatientCode(transplant="none")},
)
ROWS = [(1, AT, "FOSC", None), (1, AT + timedelta(hours=2), "LAB//K", 2.4)]


def parquet(path, rows, *, value="numeric_value", zone=None, **more):
    subjects, times, names, values = zip(*rows, strict=True)
    columns = {
        "subject_id": pa.array(subjects, pa.int64()),
        "time": pa.array(times, pa.timestamp("us", zone)),
        "code": pa.array(names, pa.string()),
        value: pa.array(values, pa.float32()),
        **more,
    }
    pq.write_table(pa.table(columns), path)
    return path


def rows(path, codes=CODES):
    """The rows that the map names, and the counts of the other codes."""
    passed = Counter()

    def count(code, number):
        passed[code] += number

    return list(read_meds(str(path), codes, count)), passed


def replay(tmp_path, path, *arguments):
    (tmp_path / "map.toml").write_text(MAP)
    rejects = tmp_path / "rejects"
    done = CliRunner().invoke(
        app,
        ["replay", str(path), "--json", "--codes", str(tmp_path / "map.toml"), "--rejects", str(rejects), *arguments],
    )
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout_bytes.splitlines()], [
        json.loads(line) for line in rejects.read_bytes().splitlines()
    ]


def test_a_dose_without_an_amount_counts_as_given(tmp_path):
    alerts, rejects = replay(tmp_path, parquet(tmp_path / "a.parquet", ROWS))
    assert "hypokalemia" in {alert["code"] for alert in alerts}
    assert rejects == []


def test_a_dose_that_was_not_given_is_none(tmp_path):
    held = [(1, AT, "FOSC//held", None), *ROWS[1:]]
    assert replay(tmp_path, parquet(tmp_path / "a.parquet", held)) == ([], [])


@pytest.mark.parametrize("drug", ["foscarnet", "ganciclovir", "valganciclovir", "cidofovir", "letermovir", "maribavir"])
def test_no_rule_stumbles_over_a_dose_without_an_amount(tmp_path, drug):
    (tmp_path / "map.toml").write_text(
        f'[drugs.X]\ndrug = "{drug}"\n[drugs.C]\ndrug = "ciclosporin"\n[drugs.S]\ndrug = "sodium chloride"\n'
        '[labs.CR]\nloinc = "2160-0"\nunit = "mg/dL"\n[labs.W]\nloinc = "29463-7"\nunit = "kg"\n'
    )
    hours = range(0, 24 * 30, 12)
    path = parquet(
        tmp_path / "a.parquet",
        [(1, datetime(1960, 1, 1), "MEDS_BIRTH", None), (1, AT, "W", 70)]
        + [(1, AT + timedelta(hours=hour), name, None) for hour in hours for name in ("X", "C", "S")]
        + [(1, AT + timedelta(hours=hour + 1), "CR", 1 + hour / 100) for hour in hours],
    )
    unjudged = tmp_path / "unjudged"
    done = CliRunner().invoke(
        app, ["replay", str(path), "--json", "--codes", str(tmp_path / "map.toml"), "--unjudged", str(unjudged)]
    )
    assert done.exit_code == 0, done.stderr
    listed = {json.loads(line)["code"] for line in unjudged.read_bytes().splitlines()}
    assert listed if drug in ("foscarnet", "ganciclovir", "valganciclovir") else True


def test_identity_is_a_hash_of_the_fields(tmp_path):
    twice, _ = rows(parquet(tmp_path / "a.parquet", [ROWS[1], ROWS[1], (2, *ROWS[1][1:]), (1, AT, "LAB//K", 2.4)]))
    ids = [row.event.event_id for row in twice]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_float32_is_its_shortest_decimal(tmp_path):
    (row,), _ = rows(parquet(tmp_path / "a.parquet", [(1, AT, "LAB//K", 1.2)]))
    assert row.event.value == 1.2


@pytest.mark.parametrize("value", ["numeric_value", "value"])
def test_both_names_of_the_number(tmp_path, value):
    (row,), _ = rows(parquet(tmp_path / "a.parquet", [ROWS[1]], value=value))
    assert row.event.value == 2.4


@pytest.mark.parametrize(
    ("zone", "meds", "text"),
    [
        (None, Meds(), "2026-03-04T08:00:00+00:00"),
        (None, Meds("-05:00"), "2026-03-04T08:00:00-05:00"),
        (None, Meds(shift_days=-1), "2026-03-03T08:00:00+00:00"),
        ("America/New_York", Meds("+09:00"), "2026-03-04T08:00:00+00:00"),
    ],
)
def test_times(tmp_path, zone, meds, text):
    at = AT if zone is None else AT.replace(tzinfo=UTC)
    path = parquet(tmp_path / "a.parquet", [(1, at, "LAB//K", 2.4)], zone=zone)
    (row,), _ = rows(path, Codes(CODES.labs, CODES.drugs, CODES.patients, meds))
    assert (row.event.collected_at, row.event.recorded_at) == (text, text)


def test_what_is_known_of_a_person(tmp_path):
    birth = datetime(1960, 5, 6)
    path = parquet(
        tmp_path / "a.parquet",
        [(1, birth, "MEDS_BIRTH", None), (1, None, "GENDER//F", None), (1, AT, "HIV", None), (1, AT, "HCT", None)],
    )
    said = [row.event for row in rows(path)[0]]
    assert [(one.birth_date, one.sex, one.hiv, one.transplant) for one in said] == [
        ("1960-05-06", None, None, None),
        (None, "female", None, None),
        (None, None, True, None),
        (None, None, None, "none"),
    ]
    assert [one.recorded_at[:4] for one in said] == ["1900", "1900", "2026", "2026"]
    assert said[3].transplant_at == "2026-03-04T08:00:00+00:00"


def test_results_in_words(tmp_path):
    path = parquet(tmp_path / "a.parquet", [(1, AT, "CMV", None)], text_value=pa.array(["POS"]))
    (row,), _ = rows(path)
    assert row.event.result == "detected"


def test_what_the_map_does_not_name_is_counted(tmp_path):
    found, passed = rows(parquet(tmp_path / "a.parquet", [*ROWS, (1, AT, "HR", 80), (1, AT, "HR", 81)]))
    assert len(found) == 2
    assert passed == {"HR": 2}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((1, AT, None, 1.0), "code: missing"),
        ((None, AT, "LAB//K", 1.0), "subject_id: missing"),
        ((1, None, "LAB//K", 1.0), "time: missing"),
        ((1, AT, "LAB//K", None), "value: missing, and no result"),
        ((1, AT, "LAB//K", float("nan")), "value: missing, and no result"),
        ((1, AT, "LAB//K", float("inf")), "numeric_value: infinite"),
        ((1, AT, "LAB//K", -1.0), "value: negative"),
        ((1, AT, "FOSC", 6000.0), "unit: missing"),
        ((1, datetime(2180, 1, 1), "LAB//K", 1.0), "recorded_at: outside 1900-2100"),
    ],
)
def test_a_bad_row_is_rejected_with_its_number_and_fields_and_the_others_are_judged(tmp_path, row, reason):
    alerts, rejects = replay(tmp_path, parquet(tmp_path / "a.parquet", [ROWS[0], row, ROWS[1]]))
    assert "hypokalemia" in {alert["code"] for alert in alerts}
    (rejected,) = rejects
    assert (rejected["line"], rejected["entry"], rejected["reason"]) == (2, None, reason)
    assert json.loads(rejected["input"])["code"] == row[2]


def test_files_that_cannot_be_read(tmp_path):
    good = parquet(tmp_path / "a.parquet", ROWS)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(good.read_bytes()[:-10])
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1]}), other)
    (tmp_path / "map.toml").write_text(MAP)
    codes = ["--codes", str(tmp_path / "map.toml")]
    for arguments, says in (
        ([cut, *codes], "truncated or corrupt parquet"),
        ([other, *codes], "not MEDS"),
        ([good], "needs --codes"),
    ):
        done = CliRunner().invoke(app, ["replay", *map(str, arguments)])
        assert (done.exit_code, done.stdout) == (2, "")
        assert says in done.stderr


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not DEMO.exists(), reason="needs the MIMIC-IV demo in ../shared, which is not in this repository")
def test_the_mimic_demo_reads_by_its_map(tmp_path):
    rejects = tmp_path / "rejects"
    done = CliRunner().invoke(
        app,
        [
            *("replay", str(DEMO), "--json", "--rejects", str(rejects)),
            *("--codes", str(ROOT / "seeds" / "codes" / "mimic-iv-demo.toml")),
            *("--knowledge", str(ROOT / "seeds" / "sites" / "acyclovir.toml")),
        ],
    )
    assert done.exit_code == 0, done.stderr
    assert "3 patients judged" in done.stderr
    reasons = Counter(json.loads(line)["reason"] for line in rejects.read_bytes().splitlines())
    assert reasons == {"value: missing, and no result": 847}
    assert "aki" in {json.loads(line)["code"] for line in done.stdout.splitlines()}
