"""`cmvigil rules`: all that is known, as a table, JSON and a page kept in step; and a site's own, checked."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.commands import rules as command
from streams.knowledge_files import read_plan
from streams.knowledge_view import SECTIONS, found_at, numbers_for

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, status=0):
    done = CliRunner().invoke(app, ["rules", *map(str, arguments)])
    assert done.exit_code == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_every_code_is_in_the_table_with_when_it_is_raised_and_ends():
    text = run()
    rules = json.loads(run("--json"))["rules"]
    assert {rule["code"] for rule in rules} == set(read_plan([]).rule_data)
    for rule in rules:
        assert rule["code"] in text
        assert rule["condition"]
        assert rule["ends"]
        assert rule["severities"]
        assert rule["sources"]


def test_every_number_has_its_source_and_tag():
    known = json.loads(run("--json"))
    numbers = [number for rule in known["rules"] for number in rule["numbers"]] + known["shared"]
    numbers += [number for drug in known["drugs"] for number in drug["numbers"]]
    assert len(numbers) > 150
    for number in numbers:
        assert number["source"] in known["sources"].values()
        assert number["tag"] in ("F", "K", "K?", "D")


def test_one_code_whole():
    text = run("neutropenia")
    assert "critical_below" in text
    assert "0.5 10*3/uL" in text
    assert "no such code" in run("nonsense", status=2)


ORDER = [
    *("aki", "foscarnet-renal-stop", "dose-above-renal-band", "probenecid-missing"),
    *("neutropenia", "started-below-count-limits", "hypocalcemia", "hypophosphatemia"),
    *("overdue-renal", "overdue-immunosuppressant-level", "refractory-cmv", "breakthrough-on-prophylaxis"),
    *("letermovir-ciclosporin-dose", "interaction", "implausible-result", "suspect-sample"),
]


def test_codes_stand_in_the_order_in_which_a_pharmacist_reads_them():
    rules = json.loads(run("--json"))["rules"]
    codes = [rule["code"] for rule in rules]
    assert sorted(codes) == sorted(code for section in SECTIONS.values() for code in section)
    assert [code for code in codes if code in ORDER] == ORDER
    text, page = run(), run("--page")
    for shown in (text, page):
        places = [
            shown.index(f"\n{mark}{code}") for code in ORDER for mark in ("│ ", "### ") if f"\n{mark}{code}" in shown
        ]
        assert len(places) == len(ORDER)
        assert places == sorted(places)
    assert list(dict.fromkeys(rule["section"] for rule in rules)) == list(SECTIONS)
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")][: len(SECTIONS)] == list(SECTIONS)


def test_a_rule_that_has_no_place_of_its_own_comes_last(monkeypatch):
    monkeypatch.setitem(SECTIONS, "Data", ("implausible-result",))
    last = json.loads(run("--json"))["rules"][-1]
    assert (last["code"], last["section"]) == ("suspect-sample", "Other")


def test_the_table_has_numbers_tags_sources_and_tests():
    text = run()
    rules = {rule["code"]: rule for rule in json.loads(run("--json"))["rules"]}
    for number in (
        "critical_below 2.5 mmol/L [F]",
        "ratios 1.5, 2, 3 [K]",
        "viral.refractory_rise 1 [K]",
        "bands of foscarnet [F]",
    ):
        assert number in text
    assert " │ kdigo-2012 " in text
    assert "  kdigo-2012: KDIGO Clinical Practice Guideline" in text
    assert f" {len(rules['aki']['tests'])} files " in text
    # Every rule has numbers, or none because it has none anywhere: its analytes' own ranges are what it judges by.
    assert [code for code, rule in rules.items() if not rule["numbers"] + rule["shared"]] == ["implausible-result"]


def test_the_doses_by_clearance_stand_with_source_and_tag_in_every_view():
    known = json.loads(run("--json"))
    (above,) = (rule for rule in known["rules"] if rule["code"] == "dose-above-renal-band")
    assert [(one["drug"], one["index"], one["tag"], len(one["bands"])) for one in above["bands"]] == [
        ("foscarnet", "mL/min/kg", "F", 6),
        ("ganciclovir", "mL/min", "F", 5),
        ("valganciclovir", "mL/min", "F", 4),
    ]
    assert above["bands"][0]["source"].startswith("Foscarnet sodium injection")
    drugs = {drug["name"]: drug for drug in known["drugs"]}
    assert drugs["foscarnet"]["bands"] == above["bands"][0]["bands"]
    assert (drugs["foscarnet"]["bands_tag"], drugs["foscarnet"]["bands_index"]) == ("F", "mL/min/kg")
    assert drugs["cidofovir"]["bands_source"] is None
    for text in (run(), run("dose-above-renal-band"), run("dose-below-renal-band")):
        assert "foscarnet: Foscarnet sodium injection, US prescribing" in text
        assert "│ over 1.4             │ 60 mg/kg every 8 h, 90 mg/kg every 12 h  │ 90 mg/kg every 24 h, 120" in text
        assert "│ from 10           │ 450 mg every 48 h │ 450 mg every 84 h" in text
    assert "every 8 h" not in run("hypokalemia")
    page = run("--page")
    assert (
        "\nFoscarnet sodium injection, US prescribing information (NDA 020068), dosage, warnings and monitoring [F]"
        in page
    )
    assert "| clearance, mL/min/kg | induction |" in page
    assert page.count("[Dosing by clearance](#dosing-by-clearance)") == 2


def test_one_code_has_its_sources_and_tests():
    text = run("refractory-cmv")
    assert "viral.treatment_days" in text
    assert "\nSources:\n  " in text
    assert "Tests: tests/" in text
    (rule,) = json.loads(run("refractory-cmv", "--json"))["rules"]
    assert "tests/streams/test_rules_command.py" in rule["tests"]
    assert [number["path"] for number in rule["shared"]][-2:] == ["viral.refractory_rise", "viral.after_therapy"]


def test_where_there_are_no_tests_nothing_is_said_of_them(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "_ROOT", tmp_path)
    assert "tests" not in json.loads(run("aki", "--json"))["rules"][0]
    assert "Tests" not in run("aki")
    assert " files" not in run()
    assert "Tests:" not in run("--page")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_other.py").write_text('"aki"')
    assert "tests" not in json.loads(run("aki", "--json"))["rules"][0]
    (tmp_path / "pyproject.toml").write_text("")
    assert json.loads(run("aki", "--json"))["rules"][0]["tests"] == ["tests/test_other.py"]
    assert "1 file " in run()
    assert "Tests: none" in run("anemia")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("critical_below", "critical_below"),
        ("drugs.foscarnet.tail", "drugs.foscarnet.tail"),
        ("critical_below.0", "critical_below"),
        ("drugs.foscarnet.renal.bands", "drugs.foscarnet.renal"),
        ("viral.high", "viral.high"),
        ("high", "viral.high"),
        ("analytes.creatinine.plausible", "analytes.creatinine.plausible"),
        ("qt", None),
        ("belo", None),
    ],
)
def test_a_threshold_is_found_by_the_longest_part_of_its_path(path, found):
    number = found_at(path, numbers_for(read_plan([]), "hypokalemia"))
    assert (number.path if number is not None else None) == found


def test_a_table_of_a_rule_means_the_first_number_in_it():
    number = found_at("qt", numbers_for(read_plan([]), "interaction"))
    assert number.path == "qt.labs_within"


def test_drugs_and_analytes_with_their_codes():
    known = json.loads(run("--json"))
    (foscarnet,) = (drug for drug in known["drugs"] if drug["name"] == "foscarnet")
    assert "33562" in foscarnet["rxnorm"]
    assert foscarnet["bands"][0]["induction"] == ["60 mg/kg every 8 h", "90 mg/kg every 12 h"]
    (creatinine,) = (analyte for analyte in known["analytes"] if analyte["key"] == "creatinine")
    assert "2160-0" in creatinine["loinc"]
    assert "umol/L" in creatinine["units"]


def test_the_page_is_what_the_knowledge_says():
    """Made anew by: cmvigil rules --page > docs/rules.md."""
    assert (ROOT / "docs" / "rules.md").read_text("utf-8") == run("--page")


def test_check_says_what_a_sites_own_knowledge_changes(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('[rules.hypokalemia]\nbelow = { value = ["3.2 mmol/L"], source = "cmvigil", tag = "D" }\n')
    text = run("--check", site)
    assert "rules.hypokalemia.below: 3.2 mmol/L (was 3.0 mmol/L)" in text
    assert "usable; ruleset cmvigil" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[rules.hydration-missing]\ncharts_fluids = false\n",
            "rules.hydration-missing.charts_fluids: False (was True)",
        ),
        ('[analytes.potassium.spellings]\n"mM" = "mmol/L"\n', "analytes.potassium.spellings.mM: mmol/L (new)"),
        ('[drugs.foo]\nnames = ["bar"]\n', "drugs.foo.names: bar (new)"),
    ],
)
def test_check_says_what_changes_beside_numbers(tmp_path, text, says):
    site = tmp_path / "site.toml"
    site.write_text(text)
    assert says in run("--check", site)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[rules.hypokalemia]\nbelo = 3\n", "rules.hypokalemia.belo: Extra inputs are not permitted"),
        ('[rules.hypokalemia]\nbelow = { value = ["3.2 mmol/L"], source = "nobody", tag = "D" }\n', "no such source"),
        ("[rules.nonsense]\n", "rules.nonsense: no such rule"),
        ("not toml", "not TOML"),
    ],
)
def test_check_says_file_key_and_reason(tmp_path, text, says):
    site = tmp_path / "site.toml"
    site.write_text(text)
    error = run("--check", site, status=2)
    assert says in error
    assert str(site) in error
