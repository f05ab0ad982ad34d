"""Plain text for a pharmacist: figures with units and ages, in one manner everywhere."""

import re
from collections.abc import Iterable

from monitor.patient import Patient
from monitor.plan import AnalyteInfo
from monitor.times import ALWAYS, Time, clock_text, duration_text, iso
from monitor.types import EQUAL, PRELIMINARY, Act, Dose, Evidence, Fact, Lab, Person, Rule
from monitor.units import MILLION, decimal_text, quotient_text

_SIGNS = ("", "<", "<=", ">", ">=", "", "")
_START = re.compile(r"\. [a-z]")
_TIMES = "\N{MULTIPLICATION SIGN}"
_PRINTED = {
    "[IU]/mL": "IU/mL",
    "{Log_IU}/mL": "log10 IU/mL",
    "{copies}/mL": "copies/mL",
    "{Log_copies}/mL": "log10 copies/mL",
    "10*3/uL": f"{_TIMES}10³/µL",
    "10*9/L": f"{_TIMES}10⁹/L",
    "10*6/L": f"{_TIMES}10⁶/L",
    "/uL": "/µL",
    "/mm3": "/mm³",
    "umol/L": "µmol/L",
    "ug/L": "µg/L",
    "[lb_av]": "lb",
}
_SPELLED = {"amphotericin b": "amphotericin B", "polymyxin b": "polymyxin B", "ringer's lactate": "Ringer's lactate"}
_TRANSPLANTS = {
    "hct-allogeneic": "allogeneic HCT",
    "hct-autologous": "autologous HCT",
    "solid-organ": "solid-organ transplant",
}


def unit_text(unit: str) -> str:
    """A unit as a laboratory prints it, for its UCUM code: `IU/mL` for `[IU]/mL`."""
    return _PRINTED.get(unit, unit)


def transplant_text(kind: str) -> str:
    """A kind of transplant in words."""
    return _TRANSPLANTS.get(kind, kind)


def name_text(name: str) -> str:
    """A drug's name as it is printed: `amphotericin B` for `amphotericin b`."""
    return _SPELLED.get(name, name)


def days_text(number: int) -> str:
    """So many treatment days: `1 treatment day`, `2 treatment days`."""
    return "1 treatment day" if number == 1 else f"{number} treatment days"


def sentences(text: str) -> str:
    """A text whose sentences begin with a capital letter; what stands in quotation marks is quoted as it is."""
    parts = text.split('"')
    parts[::2] = [_START.sub(lambda found: found[0].upper(), part) for part in parts[::2]]
    text = '"'.join(parts)
    return text[:1].upper() + text[1:]


def amount_text(p: Patient, lab: Lab) -> str:
    """A result as reported: `1.5 mg/dL`, `<137 IU/mL`, `not detected`, `2+`."""
    if lab.grade is not None:
        return lab.grade.replace("-", " ")
    if lab.unit < 0:
        return "no result"
    unit = unit_text(p.plan.analytes[lab.analyte].unit_names[lab.unit])
    value = p.plan.value_of(lab)
    size = _shortened(value) if _is_computed(lab) else decimal_text(value)
    return f"{_SIGNS[lab.mark]}{size} {unit}"


def _is_computed(lab: Lab) -> bool:
    """Whether a count was computed from a percentage: it has no code of its own."""
    return not lab.loinc and lab.mark == EQUAL


def _shortened(value: int) -> str:
    """A computed number of millionths to three digits, as laboratories print. Cut off, not rounded: what lies below a
    limit must not read as if it reached it.
    """
    step = min(10 ** max(0, len(str(value)) - 3), MILLION)
    return decimal_text(value // step * step)


def cutoff_text(analyte: AnalyteInfo, cutoffs: tuple[int, ...], lab: Lab) -> str:
    """A cut-off in the unit of the result that it is held against."""
    size = quotient_text(cutoffs[lab.unit], analyte.scale[lab.unit] * MILLION, 4)
    return f"{size} {unit_text(analyte.unit_names[lab.unit])}"


def lab_text(p: Patient, lab: Lab) -> str:
    """A result with its name: `creatinine 1.5 mg/dL`, saying so where it is preliminary or computed."""
    text = f"{p.plan.analytes[lab.analyte].name} {amount_text(p, lab)}"
    notes = []
    if _is_computed(lab):
        notes.append("computed from the percentage and the leukocytes of the same sample")
    if lab.rank == PRELIMINARY:
        notes.append("preliminary")
    return f"{text} ({', '.join(notes)})" if notes else text


def dated(p: Patient, lab: Lab) -> str:
    """A result with its name and collection time."""
    return f"{lab_text(p, lab)}{',' if lab.grade is not None else ''} collected {clock_text(lab.at)}"


def age_text(lab: Lab, t: Time) -> str:
    """How old a result is at `t`: `2 d 4 h old`, or when it was collected if that is now."""
    return f"{duration_text(t - lab.at)} old" if t > lab.at else f"collected {clock_text(lab.at)}"


def aged(p: Patient, lab: Lab, t: Time) -> str:
    """A result with its name and its age at `t`."""
    return f"{lab_text(p, lab)} ({age_text(lab, t)})"


def dose_text(p: Patient, dose: Dose) -> str:
    """An administration: `foscarnet 6000 mg iv`."""
    name = name_text(p.plan.drugs[dose.drug].name)
    if dose.value is None:
        amount = "not given" if dose.status == "not-done" else "of unknown amount"
    else:
        amount = f"{decimal_text(dose.value)} {p.plan.dose_units[dose.unit][0]}"
    return " ".join(part for part in (name, amount, dose.route) if part)


def each_once(labs: Iterable[Lab]) -> tuple[Lab, ...]:
    """Results without repetition, in their order."""
    return tuple({lab.event_id: lab for lab in labs}.values())


def drugs_text(p: Patient, names: Iterable[str], t: Time, within: Time) -> str:
    """Those of some drugs that were given within a time before `t`, each with its last dose's age."""
    found = []
    for name in names:
        given = p.given.get(p.plan.drug_index[name])
        i = given.last(t) if given is not None else -1
        if given is not None and i >= 0 and t - given.t[i] <= within:
            found.append(f"{name_text(name)} ({duration_text(t - given.t[i])} before)")
    return ", ".join(found)


def newly_given(p: Patient, drugs: Iterable[int], t: Time, within: Time, not_within: Time) -> list[Dose]:
    """The first dose of each drug newly given at `t`: within that time, and with none in `not_within` before it."""
    found = (_first_given(p, drug, t, within, not_within) for drug in drugs)
    return [dose for dose in found if dose is not None]


def _first_given(p: Patient, drug: int, t: Time, within: Time, not_within: Time) -> Dose | None:
    given = p.given.get(drug)
    if given is None:
        return None
    i, first = given.last(t), -1
    while i >= 0 and given.t[i] >= t - within:
        first = i
        i -= 1
    if first < 0 or (i >= 0 and given.t[i] >= given.t[first] - not_within):
        return None
    return given.x[first]


def causes_text(p: Patient, names: tuple[str, ...], t: Time, within: Time) -> str:
    """Other drugs, given so soon before, that lower what is low."""
    causes = drugs_text(p, names, t, within)
    return f"Also lowered by drugs of the last {duration_text(within)}: {causes}" if causes else ""


def mimics_text(p: Patient, firsts: Iterable[Dose]) -> str:
    """Drugs newly given that raise creatinine without a change of filtration, each with its first dose."""
    found = [f"{name_text(p.plan.drugs[dose.drug].name)} (first given {clock_text(dose.at)})" for dose in firsts]
    verb = "raise" if len(found) > 1 else "raises"
    return f"{', '.join(found)} {verb} creatinine without a change of filtration" if found else ""


def fact_text(p: Patient, fact: Fact) -> str:
    """Any fact in a few words."""
    if isinstance(fact, Lab):
        return dated(p, fact) if fact.at != ALWAYS else "result withdrawn"
    if isinstance(fact, Dose):
        return dose_text(p, fact) if fact.drug >= 0 else "administration withdrawn"
    return "patient data" if isinstance(fact, Person) else "action"


def evidence_of(p: Patient, fact: Fact) -> Evidence:
    """A fact as an alert's evidence."""
    if isinstance(fact, Lab):
        return Evidence(fact.event_id, iso(_time(fact)), lab_text(p, fact) if fact.analyte >= 0 else "withdrawn")
    if isinstance(fact, Dose):
        return Evidence(fact.event_id, iso(_time(fact)), dose_text(p, fact) if fact.drug >= 0 else "withdrawn")
    return Evidence(fact.event_id, iso(fact.recorded), fact_text(p, fact))


def _time(fact: Lab | Dose) -> Time:
    return fact.recorded if fact.at == ALWAYS else fact.at


def news_text(p: Patient, rule: Rule) -> str:
    """Which facts, taken in this moment, a rule's change rests on; empty where only time brought it."""
    texts = []
    for fact, old in p.news:
        if isinstance(fact, Act) or not p.concerns(rule, fact, old):
            continue
        texts.append(_news(p, fact, old))
    if len(texts) > 4:
        texts[4:] = [f"and {len(texts) - 4} more"]
    return "; ".join(texts)


def _news(p: Patient, fact: Fact, old: Fact | None) -> str:
    name = f"{fact.event_id}"
    if isinstance(fact, Lab) and fact.void:
        was = f" ({fact_text(p, old)})" if isinstance(old, Lab) and old.analyte >= 0 else ""
        return f"{name} withdrawn or without result{was}"
    if isinstance(fact, Lab) and isinstance(old, Lab) and fact.analyte < 0 <= old.analyte:
        return f"{name} corrected to what no rule watches ({fact_text(p, old)})"
    if isinstance(fact, Dose) and not fact.given:
        was = f" ({fact_text(p, old)})" if isinstance(old, Dose) and old.drug >= 0 else ""
        return f"{name} not given or withdrawn{was}"
    text = f"{name}: {fact_text(p, fact)}"
    if isinstance(fact, Lab) and isinstance(old, Lab) and not old.void:
        return f"{text}, corrected from {amount_text(p, old)}"
    if isinstance(fact, Lab | Dose) and fact.recorded - fact.at > 0 and fact.recorded < p.clock:
        return f"{text} (arrived late)"
    return text
