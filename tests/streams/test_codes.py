"""A site's map of its own codes: what it does to events of every format, and what is wrong with one, said by key."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.events import AdministrationEvent, LabEvent, PatientEvent
from monitor.knowledge import KnowledgeError
from streams.cli import app
from streams.codes import read_codes
from streams.knowledge_files import read_plan
from tests.streams import eicu
from tests.streams.test_replay import dose, lab, ndjson, observation

PLAN = read_plan([])
SEEDS = Path(__file__).resolve().parents[2] / "seeds" / "codes"
SHARED = Path(__file__).resolve().parents[3] / "shared"
MAP = """
[labs.K]
loinc = "2823-3"
unit = "mmol/L"
units = { "mmol per L" = "mmol/L" }

[labs.UPROT]
loinc = "57735-3"
results = { "NEG" = "negative" }

[drugs.FOSC]
drug = "foscarnet"
unit = "mg"
route = "iv"
indication = "treatment"

[drugs."FOSC held"]
drug = "foscarnet"
status = "not-done"
"""
LOCAL = "http://example.org/codes"


def codes(tmp_path, text=MAP):
    path = tmp_path / "map.toml"
    path.write_text(text)
    return read_codes(path, PLAN)


def result(**more):
    return LabEvent("L1", "p1", "2026-03-04T11:00:00Z", "K", "2026-03-04T10:00:00Z", **more)


@pytest.mark.parametrize(
    ("said", "unit"),
    [(None, "mmol/L"), ("mmol per L", "mmol/L"), ("meq/L", "meq/L"), ("furlong", "furlong")],
)
def test_the_units_of_a_local_code(tmp_path, said, unit):
    event = codes(tmp_path).translate(result(value=3.0, unit=said))
    assert (event.code, event.unit) == ("2823-3", unit)


def test_a_code_that_the_map_does_not_name_is_taken_as_it_stands(tmp_path):
    event = LabEvent("L1", "p1", "2026-03-04T11:00:00Z", "2160-0", value=1.0)
    assert codes(tmp_path).translate(event).unit is None
    assert event.code == "2160-0"
    person = PatientEvent("D1", "p1", "2026-03-04T11:00:00Z", sex="female")
    assert codes(tmp_path).translate(person) is person


def test_results_in_words(tmp_path):
    event = LabEvent("L1", "p1", "2026-03-04T11:00:00Z", "UPROT", result="NEG")
    assert codes(tmp_path).translate(event).result == "negative"


def test_what_a_dose_says_itself_goes_before_the_map(tmp_path):
    event = AdministrationEvent("A1", "p1", "2026-03-04T11:00:00Z", "FOSC", route="oral", dose=6.0, unit="g")
    codes(tmp_path).translate(event)
    assert (event.drug, event.route, event.unit, event.indication) == ("foscarnet", "oral", "g", "treatment")
    held = codes(tmp_path).translate(AdministrationEvent("A1", "p1", "2026-03-04T11:00:00Z", "FOSC held"))
    assert held.status == "not-done"


def local(**more):
    """An Observation and an administration whose only codings are the site's own."""
    concept = {"coding": [{"system": LOCAL, "code": "K"}]}
    return observation(code=concept, valueQuantity={"value": 2.4}, **more)


ADMINISTRATION = {
    "resourceType": "MedicationAdministration",
    "id": "A1",
    "status": "completed",
    "subject": {"reference": "Patient/p1"},
    "medicationCodeableConcept": {"coding": [{"system": LOCAL, "code": "FOSC"}]},
    "effectivePeriod": {"start": "2026-03-04T08:00:00Z", "end": "2026-03-04T10:00:00Z"},
    "dosage": {"dose": {"value": 6000, "unit": "mg"}},
}
PANEL = observation(
    code={"coding": [{"system": LOCAL, "code": "LYTES"}]},
    valueQuantity=None,
    component=[{"code": {"coding": [{"system": LOCAL, "code": "K"}]}, "valueQuantity": {"value": 2.4}}],
)


@pytest.mark.parametrize(
    "log",
    [
        ndjson(dose(drug="FOSC", unit=None), lab(code="K", unit=None)),
        ndjson(dose(), local()),
        ndjson(ADMINISTRATION, lab()),
        ndjson(dose(), PANEL),
        json.dumps([dose(drug="FOSC"), lab(code="K")], indent=1).encode(),
    ],
    ids=["native", "observation", "administration", "panel", "document"],
)
def test_local_codes_are_mapped_in_every_format(tmp_path, log):
    (tmp_path / "map.toml").write_text(MAP)
    (tmp_path / "log").write_bytes(log)
    with_map, without = (
        CliRunner().invoke(app, ["replay", "--json", str(tmp_path / "log"), *more])
        for more in (["--codes", str(tmp_path / "map.toml")], [])
    )
    assert (with_map.exit_code, without.exit_code) == (0, 0)
    assert "hypokalemia" in with_map.stdout
    assert "hypokalemia" not in without.stdout


def test_loinc_goes_before_a_local_coding(tmp_path):
    (tmp_path / "map.toml").write_text(MAP)
    both = [{"system": LOCAL, "code": "UPROT"}, {"system": "http://loinc.org", "code": "2823-3"}]
    (tmp_path / "log").write_bytes(ndjson(dose(), observation(code={"coding": both})))
    done = CliRunner().invoke(app, ["replay", "--json", str(tmp_path / "log"), "--codes", str(tmp_path / "map.toml")])
    assert "hypokalemia" in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "-: not TOML"),
        ("[lab.K]\nloinc = '2823-3'", "lab: not one of meds, labs, drugs, patients"),
        ("labs = 1", "labs: not one of"),
        ("[labs.K]\nunit = 'mmol/L'", "labs.K: Object missing required field loinc"),
        ("[labs.K]\nloinc = '2823-3'\nunits = 1", "labs.K: Expected object, got int"),
        ("[labs.K]\nloinc = '2823-3'\nfactor = 1", "labs.K: Object contains unknown field factor"),
        ("[labs.K]\nloinc = '1-1'", "labs.K.loinc: not watched by any rule"),
        ("[labs.K]\nloinc = '2823-3'\nunit = 'furlong'", "labs.K.unit: not known for potassium"),
        ("[labs.K]\nloinc = '2823-3'\nunits = { a = 'furlong' }", "labs.K.unit: not known for potassium"),
        ("[labs.K]\nloinc = '2823-3'\nresults = { NEG = 'negative' }", "labs.K.results: not one of potassium"),
        ("[drugs.F]\ndrug = 'foscarnot'", "drugs.F.drug: not watched by any rule"),
        ("[drugs.F]\ndrug = 'foscarnet'\nunit = 'furlong'", "drugs.F.unit: not known for foscarnet"),
        ("[drugs.F]\ndrug = 'foscarnet'\nroute = 'astral'", "drugs.F.route: not known"),
        ("[drugs.F]\ndrug = 'foscarnet'\nstatus = 'lost'", "drugs.F: Invalid enum value 'lost'"),
        ("[patients.F]\nsex = 'x'", "patients.F: Invalid enum value 'x'"),
        ("[meds]\noffset = 'here'", "meds.offset: not like +01:00"),
        ("[meds]\nshift_days = 'x'", "meds: Expected int, got str"),
    ],
)
def test_every_fault_of_a_map_is_said_with_its_key(tmp_path, text, says):
    with pytest.raises(KnowledgeError) as caught:
        codes(tmp_path, text)
    assert says in str(caught.value)
    (tmp_path / "log").write_bytes(b"")
    done = CliRunner().invoke(app, ["replay", str(tmp_path / "log"), "--codes", str(tmp_path / "map.toml")])
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_map_that_is_missing(tmp_path):
    with pytest.raises(KnowledgeError, match="No such file"):
        read_codes(tmp_path / "none.toml", PLAN)


@pytest.mark.parametrize("path", sorted(SEEDS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_maps_are_usable(path):
    assert read_codes(path, PLAN).labs


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="needs the eICU demo in ../shared, which is not in this repository")
def test_the_eicu_demo_reads_by_its_map(tmp_path):
    log, rejects = tmp_path / "log", tmp_path / "rejects"
    log.write_bytes(b"\n".join(eicu.lab_events(SHARED / "data" / "eicu-demo" / "lab.csv")))
    done = CliRunner().invoke(
        app,
        ["unmapped", str(log), "--json", "--codes", str(SEEDS / "eicu-demo.toml")],
    )
    unknown = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [one for one in unknown if one["watched"]], "a unit of a mapped code is not known"
    assert not {"creatinine", "potassium", "WBC x 1000"} & {one["code"] for one in unknown}
    assert unknown[0] == {"kind": "lab", "code": "bedside glucose", "unit": "mg/dL", "watched": False, "count": 2098}
    done = CliRunner().invoke(
        app, ["replay", str(log), "--json", "--codes", str(SEEDS / "eicu-demo.toml"), "--rejects", str(rejects)]
    )
    assert done.exit_code == 0
    assert rejects.read_bytes() == b""
