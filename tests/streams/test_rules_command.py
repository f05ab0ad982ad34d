"""`cmvigil rules`: all that is known, as a table, JSON and a page kept in step; and a site's own, checked."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.knowledge_files import read_plan

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
