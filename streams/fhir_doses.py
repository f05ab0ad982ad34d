"""FHIR R4 MedicationAdministrations as doses: which drug, how much, when, by what way and what for."""

import re
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from monitor.events import AdministrationEvent
from monitor.plan import DrugInfo, Plan
from monitor.times import DAY, HOUR, MINUTE, SECOND, Time
from streams.fhir_types import (
    RXNORM,
    Concept,
    FhirError,
    Meta,
    Period,
    Quantity,
    Raw,
    Reference,
    Said,
    Scope,
    When,
    any_code,
    concepts_decoder,
    decode,
    decode_parts,
    first_code,
    given,
    instant,
    moment,
    number,
    patient_of,
    recorded_at,
    unit_of,
    words_of,
)

T = TypeVar("T")


class Ratio(msgspec.Struct, gc=False):
    """One amount over another."""

    numerator: Quantity | None = None
    denominator: Quantity | None = None


class Dosage(msgspec.Struct, rename="camel", gc=False):
    """How much was given, and by what way."""

    route: Concept | None = None
    dose: Quantity | None = None
    rate_ratio: Ratio | None = None
    rate_quantity: Quantity | None = None


class Ingredient(msgspec.Struct, rename="camel", gc=False):
    """What a Medication is made of."""

    item_codeable_concept: Concept | None = None


class Medication(msgspec.Struct, tag="Medication", tag_field="resourceType", rename="camel", gc=False):
    """A drug product, contained or in the same Bundle."""

    id: str | None = None
    code: Concept | None = None
    ingredient: Raw = Raw()


class MedicationAdministration(
    msgspec.Struct, tag="MedicationAdministration", tag_field="resourceType", rename="camel", gc=False
):
    """A medication given, or charted as not given."""

    id: str | None = None
    meta: Meta | None = None
    contained: Raw = Raw()
    modifier_extension: Raw = Raw()
    status: str | None = None
    category: Raw = Raw()
    medication_codeable_concept: Concept | None = None
    medication_reference: Reference | None = None
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_period: Period | None = None
    reason_code: Raw = Raw()
    dosage: Dosage | None = None


_Status = Literal["completed", "in-progress", "stopped", "not-done", "entered-in-error"]
_STATUS: Final[dict[str | None, _Status]] = {
    "in-progress": "in-progress",
    "completed": "completed",
    "stopped": "stopped",
    "not-done": "not-done",
    "on-hold": "not-done",
    "unknown": "not-done",
    "entered-in-error": "entered-in-error",
}
_medication: Final = msgspec.json.Decoder(Medication)
_ingredients: Final = msgspec.json.Decoder(tuple[Ingredient, ...])
_concept: Final = msgspec.json.Decoder(Concept)


def dose_events(a: MedicationAdministration, own_id: str | None, scope: Scope, plan: Plan) -> Said:
    """The dose that an administration is. Withdrawn, it needs no more than its identity."""
    withdrawn = a.status == "entered-in-error"
    drug = _unless(lambda: _drug(a, scope, plan), withdrawn=withdrawn)
    if drug is None and not withdrawn:
        return []
    if own_id is None:
        raise FhirError("id: missing")
    status = _STATUS.get(a.status)
    if status is None:
        raise FhirError("status: missing" if a.status is None else "status: not one of its values")
    if given(a.modifier_extension) and not withdrawn:
        raise FhirError("modifierExtension: not understood")
    when = _unless(lambda: _administered(a), withdrawn=withdrawn)
    patient = patient_of(a.subject, scope)
    recorded = recorded_at(None, a.meta, when)
    if recorded is None or (when is None and not withdrawn):
        raise FhirError("MedicationAdministration.effective: missing")
    event = AdministrationEvent(f"MedicationAdministration/{own_id}", patient, recorded, drug, status=status)
    if when is not None:
        event.started_at = when.start_text
        if not a.effective_date_time and a.effective_period is not None:
            event.ended_at = a.effective_period.end or None
    info = plan.find_drug(drug) if drug is not None else None
    if info is not None and when is not None and status in ("completed", "in-progress", "stopped"):
        # What was not given has no amount to be judged.
        event.dose, event.unit = _amount(a.dosage, when, info, plan)
        event.indication = _indication([*_concepts(a.reason_code), *_concepts(a.category)])
    if a.dosage is not None:
        event.route = _route(a.dosage.route, plan)
    return [event]


def dose_name(a: MedicationAdministration) -> str:
    """What an administration that is not watched is counted as: its RxNorm code, or else its own."""
    concept = a.medication_codeable_concept
    return first_code(concept, RXNORM) or any_code(concept) or "MedicationAdministration"


def _unless(read: Callable[[], T], *, withdrawn: bool) -> T | None:
    """What is read, or None where it cannot be and the administration is withdrawn anyway."""
    try:
        return read()
    except FhirError:
        if not withdrawn:
            raise
        return None


def _administered(a: MedicationAdministration) -> When | None:
    """When it was given. An infusion without a known start has no place among the doses."""
    if a.effective_date_time:
        return moment(a.effective_date_time, "effectiveDateTime")
    if a.effective_period is None:
        return None
    start, end = a.effective_period.start, a.effective_period.end
    if not start:
        raise FhirError("effectivePeriod.start: missing")
    first = instant(start, "effectivePeriod.start")
    return When(start, first, end, instant(end, "effectivePeriod.end")) if end else When(start, first, start, first)


# Which drug ------------------------------------------------------------------------------------------------------


def _drug(a: MedicationAdministration, scope: Scope, plan: Plan) -> str | None:
    """The drug by a code or name that the plan knows; None for one that no rule watches.

    A reference that leads nowhere here is refused unless its display names a drug: what was given may be watched.
    """
    if a.medication_codeable_concept is not None:
        return _drug_text(a.medication_codeable_concept, plan, scope)
    reference = a.medication_reference
    if reference is None:
        raise FhirError("MedicationAdministration.medication: missing")
    target = reference.reference or ""
    contained = target.startswith("#")
    medication = _contained(a, target[1:]) if contained else scope.held(target)
    if not isinstance(medication, Medication):
        if _is_drug(reference.display, plan):
            return reference.display
        raise FhirError(f"medicationReference: not {'contained' if contained else 'in the same Bundle'}")
    found = _drug_text(medication.code, plan, scope)
    if given(medication.ingredient) and not _is_antiviral(found, plan):
        ingredients = decode(medication.ingredient, _ingredients, "Medication.ingredient")
        named = (_drug_text(one.item_codeable_concept, plan, scope) for one in ingredients)
        texts = [text for text in named if text is not None]
        # Foscarnet in sodium chloride is foscarnet, whichever stands first.
        found = next((text for text in texts if _is_antiviral(text, plan)), found or next(iter(texts), None))
    return found


def _contained(a: MedicationAdministration, name: str) -> Medication | None:
    for raw in decode_parts(a.contained, "contained"):
        try:
            medication = decode(raw, _medication, "contained")
        except FhirError:
            # Something else is contained beside it.
            continue
        if medication.id in (name, f"#{name}"):
            return medication
    return None


def _drug_text(concept: Concept | None, plan: Plan, scope: Scope) -> str | None:
    """The RxNorm code or name by which the plan knows a drug; None if it knows none of the codings.

    Codes count only with RxNorm's system: numbers of other systems can look like RxNorm's. A product that is
    ophthalmic goes before its ingredient, since the product tells that a dose without a route is local.
    """
    if concept is None:
        return None
    found = None
    for coding in concept.coding or ():
        if coding.system in RXNORM and coding.code:
            drug = plan.find_drug(coding.code)
            if drug is not None:
                if coding.code in drug.ophthalmic:
                    return coding.code
                found = found or coding.code
        local = scope.codes.drugs.get(coding.code or "") if coding.system not in RXNORM else None
        if local is not None:
            found = found or local.drug
    return found or next((text for text in words_of(concept) if _is_drug(text, plan)), None)


def _is_drug(text: str | None, plan: Plan) -> bool:
    """Whether a text is a drug's name. Digits alone are none: they would be looked up as RxNorm."""
    return text is not None and not text.strip().isdigit() and plan.find_drug(text) is not None


def _is_antiviral(text: str | None, plan: Plan) -> bool:
    drug = plan.find_drug(text) if text is not None else None
    return drug is not None and drug.course is not None


# By what way, and what for ---------------------------------------------------------------------------------------


def _route(concept: Concept | None, plan: Plan) -> str | None:
    """The route that a SNOMED CT code, another code, a display or the text names; None for an unknown one."""
    if concept is None:
        return None
    codes = (coding.code for coding in concept.coding or () if coding.code)
    routes = (plan.route_of(text.removesuffix(" (qualifier value)")) for text in (*codes, *words_of(concept)))
    return next((route for route in routes if route is not None), None)


_Indication = Literal["treatment", "maintenance", "prophylaxis", "preemptive"]
_INDICATIONS: Final[dict[_Indication, re.Pattern[str]]] = {
    "prophylaxis": re.compile(r"prophyla"),
    "preemptive": re.compile(r"pre-? ?emptive"),
    "maintenance": re.compile(r"maintenance"),
}


def _indication(concepts: list[Concept]) -> _Indication | None:
    """What a dose is given for, where codes, displays and texts together say one thing.

    "Pre-emptive treatment" is preemptive: treatment is what the words mean when no other is among them. Secondary
    prophylaxis is maintenance to some and prophylaxis to others, so it says nothing here.
    """
    codes = (coding.code for concept in concepts for coding in concept.coding or () if coding.code)
    texts = [text.casefold() for text in (*codes, *(text for concept in concepts for text in words_of(concept)))]
    if any("secondary" in text for text in texts):
        return None
    named = {name for name, pattern in _INDICATIONS.items() if any(pattern.search(text) for text in texts)}
    if not named and any("treatment" in text for text in texts):
        return "treatment"
    return named.pop() if len(named) == 1 else None


def _concepts(raw: Raw) -> tuple[Concept, ...]:
    """The concepts of an element that only adds to a dose: where it cannot be read it adds nothing."""
    try:
        if bytes(memoryview(raw)[:1]) == b"[":
            return decode(raw, concepts_decoder, "reasonCode")
        return (decode(raw, _concept, "category"),) if given(raw) else ()
    except FhirError:
        return ()


# How much --------------------------------------------------------------------------------------------------------

_PER: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), SECOND),
    **dict.fromkeys(("min", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
}
_LONGEST: Final = 60
"""Characters of a unit."""

_SHARED: Final = re.compile(r"(.+)/\(([^()]+)\.([^().]+)\)")


class _Rate(NamedTuple):
    """An amount over a time."""

    value: float
    unit: str
    per: Time


def _amount(dosage: Dosage | None, when: When, drug: DrugInfo, plan: Plan) -> tuple[float, str | None]:
    """How much was given: the dose, or a rate over the whole of effectivePeriod. A rate without an end gives none."""

    def known(unit: str) -> bool:
        return plan.dose_unit(unit, drug) >= 0

    if dosage is None:
        raise FhirError("dosage.dose: missing")
    dose = dosage.dose
    if dose is not None and dose.value is not None:
        return number(dose.value, "dosage.dose.value"), unit_of(dose, known)
    if dosage.rate_quantity is not None:
        rate = _rate(dosage.rate_quantity, known)
    elif dosage.rate_ratio is not None:
        rate = _ratio(dosage.rate_ratio, known)
    else:
        raise FhirError("dosage.dose: missing")
    if when.end <= when.start:
        raise FhirError("dosage.dose: missing, and no period that a rate filled")
    # Beyond the sixth place no amount is kept.
    return round(number(rate.value * ((when.end - when.start) / rate.per), "dosage.rate"), 6), rate.unit


def _rate(quantity: Quantity, known: Callable[[str], bool]) -> _Rate:
    """`mg/h`, `mL/h`, `mg/kg/min`, `mg/(kg.h)`: the amount's unit, and the time it is for."""
    if quantity.value is None:
        raise FhirError("dosage.rateQuantity.value: missing")
    for text in (quantity.code or "", quantity.unit or ""):
        if len(text) > _LONGEST:
            continue
        shared = _SHARED.fullmatch(text)
        unit, _, per = (f"{shared[1]}/{shared[2]}/{shared[3]}" if shared else text).rpartition("/")
        span = _span(per)
        if span is not None and known(unit):
            return _Rate(quantity.value, unit, span)
    raise FhirError("dosage.rateQuantity: no known unit over a time")


def _ratio(ratio: Ratio, known: Callable[[str], bool]) -> _Rate:
    """An amount over a time: 250 mL over 1 h, 500 mg over 4 h."""
    over, under = ratio.numerator or Quantity(), ratio.denominator or Quantity()
    if over.value is None:
        raise FhirError("dosage.rateRatio.numerator.value: missing")
    span = _span(under.code) or _span(under.unit)
    if span is None or not under.value or under.value < 0:
        raise FhirError("dosage.rateRatio.denominator: not a time")
    unit = unit_of(over, known)
    if unit is None or not known(unit):
        raise FhirError("dosage.rateRatio.numerator: unit not known")
    return _Rate(over.value / under.value, unit, span)


def _span(text: str | None) -> Time | None:
    return None if text is None else _PER.get(text.strip().casefold())
