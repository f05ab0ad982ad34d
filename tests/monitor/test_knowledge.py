"""Knowledge: what is refused, with file, key and reason; and what a site changes by data alone."""

from pathlib import Path

import pytest

from monitor.knowledge import KnowledgeError
from streams.knowledge_files import read_plan
from tests.monitor.case import US, D, H, dose, lab, patient, plan, severity

FIRST = 10 * D


def site(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    return path


def refused(folder: Path, text: str) -> list[tuple[str, str]]:
    """Key and reason of each fault of a site's file, all of them in that file."""
    path = site(folder, text)
    with pytest.raises(KnowledgeError) as caught:
        read_plan([path])
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    assert all(str(path) in line for line in str(caught.value).splitlines())
    return [(problem.key, problem.reason) for problem in caught.value.problems]


NUMBER = 'source = "cmvigil", tag = "D"'


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[rules.no-such-rule]\n", "rules.no-such-rule", "no such rule"),
        ("[rules.aki]\nunread = 1\n", "rules.aki.unread", "Extra inputs"),
        ("[drugs.foscarnet]\nunread = 1\n", "drugs.foscarnet.unread", "Extra inputs"),
        ("unread = 1\n", "unread", "Extra inputs"),
        (f'[rules.aki]\nrise_window = {{ value = "48", {NUMBER} }}\n', "rules.aki.rise_window.value", ""),
        (f'[rules.aki]\nrise_window = {{ value = "48 weeks", {NUMBER} }}\n', "rules.aki.rise_window.value", ""),
        (f'[rules.aki]\nrise_window = {{ value = "-1 h", {NUMBER} }}\n', "rules.aki.rise_window.value", ""),
        (f"[rules.aki]\nrise_window = {{ value = 48, {NUMBER} }}\n", "rules.aki.rise_window.value", ""),
        ('[rules.aki]\nrise_window = { value = "48 h" }\n', "rules.aki.rise_window.source", "required"),
        (
            '[rules.aki]\nrise_window = { value = "48 h", source = "x", tag = "D" }\n',
            "rules.aki.rise_window.source",
            "no such source",
        ),
        (
            '[rules.aki]\nrise_window = { value = "48 h", source = "cmvigil", tag = "Z" }\n',
            "rules.aki.rise_window.tag",
            "",
        ),
        ("[rules.aki]\nreferences = []\n", "rules.aki.references", "at least 1"),
        ('[rules.aki]\nreferences = ["nowhere"]\n', "rules.aki.references", "no such source"),
        ('[rules.aki]\nmimics = ["nosuchdrug"]\n', "rules.aki.mimics", "no such drug"),
        (f"[rules.aki]\nratios = {{ value = [-1.5], {NUMBER} }}\n", "rules.aki.ratios.value", "greater than 0"),
        (
            f'[rules.hypokalemia]\nbelow = {{ value = ["3.0 stone"], {NUMBER} }}\n',
            "rules.hypokalemia.below",
            "not a unit of potassium",
        ),
        (
            f'[rules.hypokalemia]\nbelow = {{ value = ["3.0 mg/dL"], {NUMBER} }}\n',
            "rules.hypokalemia.below",
            "not a unit of potassium",
        ),
        (
            f'[rules.hypocalcemia]\nalbumin_slope = {{ value = ["0.8 mg/dL", "0.02 stone"], {NUMBER} }}\n',
            "rules.hypocalcemia.albumin_slope",
            "not a unit",
        ),
        (
            f'[rules.suspect-sample]\ncalcium_below = {{ value = ["6.5 stone"], {NUMBER} }}\n',
            "rules.suspect-sample.calcium_below",
            "not a unit",
        ),
        (f'[viral]\nhigh = {{ value = ["1000 mg"], {NUMBER} }}\n', "viral.high", "not a unit of"),
        (
            f'[rules.cidofovir-dose]\nabove = {{ value = "5.5 stone", {NUMBER} }}\n',
            "rules.cidofovir-dose.above",
            "not a unit of a dose",
        ),
        (
            f'[drugs.foscarnet.course]\nlocal_up_to = {{ value = "10 stone", {NUMBER} }}\n',
            "drugs.foscarnet.course.local_up_to",
            "not a unit",
        ),
        (
            f"[rules.cidofovir-dose]\nabove = {{ value = 5.5, {NUMBER} }}\n",
            "rules.cidofovir-dose.above.value",
            "not a quantity",
        ),
        (
            f'[rules.cidofovir-dose]\nabove = {{ value = "five mg", {NUMBER} }}\n',
            "rules.cidofovir-dose.above.value",
            "not a quantity",
        ),
        (
            f'[rules.cidofovir-dose]\nabove = {{ value = "5.5", {NUMBER} }}\n',
            "rules.cidofovir-dose.above.value",
            "not a quantity",
        ),
        ('[rules.hypokalemia]\nanalyte = "nothing"\n', "rules.hypokalemia.analyte", "no such analyte"),
        (f"[viral]\nrefractory_rise = {{ value = 0.7, {NUMBER} }}\n", "viral.refractory_rise.value", "0.5"),
        ('[drugs.valganciclovir.renal]\ntolerance = "share"\n', "drugs.valganciclovir.renal", "tablet"),
        (
            f'[rules.hypokalemia]\nbelow = {{ value = ["2.4 mmol/L"], {NUMBER} }}\n',
            "rules.hypokalemia",
            "critical_below",
        ),
        (
            f'[rules.hypocalcemia]\nionized_critical_below = {{ value = ["1.1 mmol/L"], {NUMBER} }}\n',
            "rules.hypocalcemia",
            "ionized_critical_below",
        ),
        *(
            (f"[rules.{code}]\n{name} = {{ value = {value}, {NUMBER} }}\n", f"rules.{code}", reason)
            for code, name, value, reason in [
                ("neutropenia", "recovered_once", '["0.99 10*3/uL"]', "below lies above recovered_once"),
                ("neutropenia", "recovered_twice", '["0.99 10*3/uL"]', "below lies above recovered_twice"),
                ("foscarnet-infusion-rate", "above", '"2.1 mg/kg"', "above lies above critical_from"),
                ("cidofovir-dose", "critical_above", '"5.4 mg/kg"', "above lies above critical_above"),
                ("letermovir-ciclosporin-dose", "too_much_from", '"239 mg"', "lies above too_much_from"),
                ("overdue-surveillance", "to_day", '"13 d"', "from_day lies above to_day"),
                ("overdue-immunosuppressant-level", "given_up_after", '"6 d"', "gap lies above given_up_after"),
                ("aki", "ratios", "[3.0, 2.0, 1.5]", "must rise"),
                ("aki", "ratios", "[1.5, 1.5, 3.0]", "must rise"),
            ]
        ),
        (f'[viral]\nlow = {{ value = ["1001 [IU]/mL"], {NUMBER} }}\n', "viral", "low lies above high"),
        ('[rules.relapse]\nmonitored_by = "overdue-load"\n', "rules.relapse.monitored_by", "no such rule"),
    ],
)
def test_faults_are_refused_with_file_key_and_reason(tmp_path, text, key, reason):
    problems = refused(tmp_path, text)
    assert any(found.startswith(key) and reason in why for found, why in problems), problems


@pytest.mark.parametrize(
    "text",
    [
        f'[rules.neutropenia]\nrecovered_once = {{ value = ["1.0 10*3/uL"], {NUMBER} }}\n',
        f'[rules.foscarnet-infusion-rate]\nabove = {{ value = "2 mg/kg", {NUMBER} }}\n',
        f'[rules.cidofovir-stop]\nrise = {{ value = ["0.3 mg/dL"], {NUMBER} }}\n',
        f'[rules.cidofovir-reduce-dose]\nrise = {{ value = ["0.5 mg/dL", "44.2 umol/L"], {NUMBER} }}\n',
        # What is given in other units alone is not held against it.
        (
            f'[rules.cidofovir-stop]\nrise = {{ value = ["1 umol/L"], {NUMBER} }}\n'
            f'[rules.cidofovir-reduce-dose]\nrise = {{ value = ["0.5 mg/dL"], {NUMBER} }}\n'
        ),
    ],
)
def test_limits_that_meet_are_no_contradiction(tmp_path, text):
    assert read_plan([site(tmp_path, text)])


@pytest.mark.parametrize(
    "text",
    [
        f'[rules.cidofovir-stop]\nrise = {{ value = ["0.29 mg/dL", "26.6 umol/L"], {NUMBER} }}\n',
        f'[rules.cidofovir-stop]\nrise = {{ value = ["0.31 mg/dL", "26.4 umol/L"], {NUMBER} }}\n',
        f'[rules.cidofovir-reduce-dose]\nrise = {{ value = ["0.51 mg/dL"], {NUMBER} }}\n',
    ],
)
def test_cidofovir_is_not_stopped_before_it_is_reduced(tmp_path, text):
    with pytest.raises(KnowledgeError) as caught:
        read_plan([site(tmp_path, text)])
    assert [(problem.key, problem.reason) for problem in caught.value.problems] == [
        ("rules.cidofovir-reduce-dose.rise", "lies above that of cidofovir-stop"),
        ("rules.cidofovir-stop.rise", "lies below that of cidofovir-reduce-dose"),
    ]
    assert str(tmp_path / "site.toml") in str(caught.value)


UNWATCHED = {
    "implausible-result": "the next plausible result of the analyte ends it; what it shows is not known",
}
"""The codes that no test watches over, each with the reason."""


def test_for_every_code_a_test_watches_over_it_or_the_reason_is_stated():
    data = plan().rule_data
    assert {code for code, one in data.items() if not one.monitored_by} == set(UNWATCHED)
    watching = {code for one in data.values() for code in one.monitored_by}
    assert watching == {code for code in data if code.startswith("overdue-")}


BAND = 'induction = ["5 mg/kg every 12 h"]\nmaintenance = ["5 mg/kg every 24 h"]\n'


@pytest.mark.parametrize(
    ("bands", "reason"),
    [
        (f"from = 50\n{BAND}|from = 50\n{BAND}", "overlap"),
        (f"from = 50\n{BAND}|from = 70\n{BAND}", "overlap"),
        (f"from = 50\nover = 50\n{BAND}", "either"),
        (BAND, "either"),
        ('from = 50\ninduction = []\nmaintenance = ["5 mg/kg every 24 h"]\n', "at least 1"),
        ('from = 50\ninduction = ["5 every 12 h"]\nmaintenance = ["5 mg/kg every 24 h"]\n', ""),
        ('from = 50\ninduction = ["5 mg/kg every noon"]\nmaintenance = ["5 mg/kg every 24 h"]\n', ""),
    ],
)
def test_faulty_bands(tmp_path, bands, reason):
    table = "".join(f"[[drugs.ganciclovir.renal.bands]]\n{band}" for band in bands.split("|"))
    problems = refused(tmp_path, table)
    assert all(key.startswith("drugs.ganciclovir.renal") for key, _ in problems)
    assert any(reason in why for _, why in problems), problems


def test_all_faults_are_told_at_once(tmp_path):
    assert len(refused(tmp_path, "[rules.nothing]\n[rules.aki]\nunread = 1\n[drugs.foscarnet]\nunread = 1\n")) == 3


@pytest.mark.parametrize("content", [b"not = [toml", b"\xff\xfe"])
def test_what_is_no_toml(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(KnowledgeError, match="not TOML"):
        read_plan([path])


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(KnowledgeError, match="No such file"):
        read_plan([tmp_path / "absent.toml"])
    with pytest.raises(KnowledgeError, match=r"no \.toml file"):
        read_plan([tmp_path])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[drugs.foscarnet]\nnames = ["cidofovir"]\n', "'cidofovir' means foscarnet too"),
        ('[drugs.another]\nrxnorm = ["33562"]\n', "'33562' means foscarnet too"),
        ('[analytes.potassium.loinc]\n"2160-0" = "twice"\n', "already means creatinine"),
    ],
)
def test_a_name_or_code_that_two_claim(tmp_path, text, reason):
    path = site(tmp_path, text)
    with pytest.raises(KnowledgeError) as caught:
        read_plan([path])
    assert any(problem.reason == reason for problem in caught.value.problems), caught.value.problems
    assert any(problem.file == str(path) for problem in caught.value.problems)


# A site's own knowledge -------------------------------------------------------------------------------------------


def test_a_threshold(tmp_path):
    other = plan(site(tmp_path, f'[rules.hypokalemia]\nbelow = {{ value = ["3.5 mmol/L"], {NUMBER} }}\n'))
    events = [patient(), dose("foscarnet", 90, FIRST, "mg/kg"), lab("potassium", 3.4, FIRST + H)]
    assert severity(events, "hypokalemia") is None
    assert severity(events, "hypokalemia", knowledge=other) == "warning"


def test_a_gap_between_doses(tmp_path):
    text = f'[drugs.foscarnet.course]\ngap = {{ value = "2 d", {NUMBER} }}\n'
    other = plan(site(tmp_path, text))
    events = [
        patient(birth_date="1960-06-01"),
        dose("foscarnet", 50, FIRST, "mg/kg"),
        lab("creatinine", 3.0, FIRST + H),
    ]
    assert severity(events, "foscarnet-renal-stop", FIRST + 3 * D) == "critical"
    assert severity(events, "foscarnet-renal-stop", FIRST + 2 * D, other) == "critical"
    assert severity(events, "foscarnet-renal-stop", FIRST + 2 * D + US, other) is None


def test_a_spelling_of_a_unit_and_a_name_of_a_drug(tmp_path):
    text = '[analytes.potassium.spellings]\n"mM" = "mmol/L"\n[drugs.foscarnet]\nnames = ["FOS-house"]\n'
    other = plan(site(tmp_path, text))
    events = [patient(), dose("fos-house", 90, FIRST, "mg/kg"), lab("potassium", 2.0, FIRST + H, "mM")]
    assert severity(events, "hypokalemia", knowledge=other) == "critical"


def test_a_whole_drug(tmp_path):
    text = f"""
[drugs.aciclovir.course]
dosed_in = "mg/kg"
intent = "treatment"
gap = {{ value = "3 d", {NUMBER} }}
usual = {{ value = "8 h", {NUMBER} }}
current = {{ value = "36 h", {NUMBER} }}
[rules.aki.drugs.aciclovir]
tail = {{ value = "2 d", {NUMBER} }}
"""
    other = plan(site(tmp_path, text))
    events = [patient(), lab("creatinine", 1.0, 9 * D), dose("acyclovir", 10, FIRST, "mg/kg")]
    high = lab("creatinine", 2.0, FIRST + 2 * D)
    late = lab("creatinine", 2.0, FIRST + 2 * D + US)
    assert severity([*events, high], "aki") is None
    assert severity([*events, high], "aki", knowledge=other) == "critical"
    assert severity([*events, late], "aki", knowledge=other) is None


def test_the_ruleset_is_named_by_its_content(tmp_path):
    same = plan(site(tmp_path, '[rules.aki]\nmonitored_by = "overdue-renal"\n'))
    assert same.ruleset == plan().ruleset
    (tmp_path / "b").mkdir()
    other = plan(site(tmp_path / "b", '[rules.aki]\ntitle = "Kidney injury"\n'))
    assert other.ruleset != plan().ruleset
