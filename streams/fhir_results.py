"""What the value of an Observation says: a number with its unit, or a qualitative result, in whatever shape."""

import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from monitor.plan import AnalyteInfo
from streams.fhir_types import (
    LOINC,
    SNOMED,
    Concept,
    FhirError,
    Quantity,
    Raw,
    concepts_decoder,
    decode,
    given,
    number,
    unit_of,
    words_of,
)


class Measured(msgspec.Struct, rename="camel", gc=False):
    """What an Observation and a component of one have in common."""

    code: Concept | None = None
    value_quantity: Quantity | None = None
    value_codeable_concept: Concept | None = None
    value_string: str | None = None
    value_integer: float | None = None
    value_boolean: Raw = Raw()
    value_range: Raw = Raw()
    value_ratio: Raw = Raw()
    value_sampled_data: Raw = Raw()
    value_time: Raw = Raw()
    value_date_time: Raw = Raw()
    value_period: Raw = Raw()
    data_absent_reason: Raw = Raw()
    interpretation: Raw = Raw()
    modifier_extension: Raw = Raw()


Comparator = Literal["<", "<=", ">", ">="] | None


class Result(NamedTuple):
    """A number with its unit, or a qualitative result in the words of the contract."""

    value: float | None = None
    unit: str | None = None
    comparator: Comparator = None
    result: str | None = None


ABSENT: Final = Result()
"""What dataAbsentReason says: the result never came, so nothing was monitored."""

# Codes and texts come to one of these words; the analyte decides what a word is for it (`_graded`). LOINC has answers
# for the pluses of a dipstick too, but their numbers differ between answer lists: those are read by their displays.
_SNOMED_ANSWERS: Final = {
    "260373001": "detected",
    "260415000": "not-detected",
    "10828004": "positive",
    "52101004": "positive",
    "260385009": "negative",
    "2667000": "negative",
    "260405006": "trace",
    "260347006": "1+",
    "260348001": "2+",
    "260349009": "3+",
    "260350009": "4+",
    # Urine protein test = …, as findings.
    "167273002": "negative",
    "167274008": "trace",
    "167275009": "1+",
    "167276005": "2+",
    "167277001": "3+",
    "167278006": "4+",
}
_LOINC_ANSWERS: Final = {
    "LA11882-0": "detected",
    "LA11883-8": "not-detected",
    "LA6576-8": "positive",
    "LA9633-4": "positive",
    "LA6577-6": "negative",
    "LA9634-2": "negative",
}
_ANSWERS: Final = {
    **dict.fromkeys(SNOMED, _SNOMED_ANSWERS),
    **dict.fromkeys(LOINC, _LOINC_ANSWERS),
}
_FLAGS: Final = {"POS": "positive", "NEG": "negative", "DET": "detected", "ND": "not-detected"}
"""Of v3-ObservationInterpretation and of HL7 v2's table 0078."""

_SAYINGS: Final = {
    "detected": "detected",
    **dict.fromkeys(("positive", "pos", "present"), "positive"),
    **dict.fromkeys(("not detected", "not-detected", "none detected", "undetected", "undetectable"), "not-detected"),
    "tnd": "not-detected",
    **dict.fromkeys(("negative", "neg", "absent", "nil"), "negative"),
    **dict.fromkeys(("trace", "traces", "tr"), "trace"),
}
_PRESENCE: Final = {"positive": "detected", "negative": "not-detected"}
_DIPSTICK: Final = {"not-detected": "negative"}
_COMPARATORS: Final[dict[str | None, Comparator]] = {None: None, "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_SIGNS: Final = {"≤": "<=", "≥": ">="}

_LEAD: Final = re.compile(r"(?:(?:cmv|cytomegalovirus)(?: dna)?|dna|target|(?:urine )?protein(?: test)?)(?: ?[:=] ?| )")
_TAIL: Final = re.compile(r" \([^()<]*\)$|\.$")
_PLUSES: Final = re.compile(r"([1-4]) ?\+|\+ ?([1-4])|(\+{1,4})")
_WORD_FIRST: Final = re.compile(r"((?:not )?detected)[,;:]? \(?([^()]+)\)?")
_WORD_LAST: Final = re.compile(r"([^()]+?)[,;]? \(?((?:not )?detected)\)?")
_NUMBER: Final = re.compile(r"(<=|>=|<|>|≤|≥)? ?([+-]?\d{1,20}(?:\.\d{1,20})?(?:e[+-]?\d{1,2})?) ?(.+)", re.ASCII)
_LONGEST: Final = 200
"""Characters of a text that can be a result; longer ones are reports."""


def result_of(part: Measured, analyte: AnalyteInfo) -> Result | None:
    """What an Observation or component says of its analyte; None where it says nothing at all.

    ABSENT where it says that there is no result. Raises FhirError for what is said in a way that is not understood. A
    text or a code that says nothing known leaves the word to `interpretation`.
    """
    quantity = part.value_quantity
    if quantity is not None and quantity.value is not None:
        return Result(
            number(quantity.value, "valueQuantity.value"),
            unit_of(quantity, lambda unit: unit in analyte.units or analyte.spelled(unit) is not None),
            _comparator(quantity.comparator),
        )
    found: Result | None = None
    if part.value_codeable_concept is not None:
        fault = f"valueCodeableConcept: no result of {analyte.name}"
        found = _coded(part.value_codeable_concept, analyte)
    elif part.value_string is not None:
        fault = f"valueString: no result of {analyte.name}, and no number with its unit"
        found = _said(part.value_string, analyte)
    elif part.value_integer is not None:
        raise FhirError("valueInteger: no unit")
    elif given(part.data_absent_reason):
        return ABSENT
    elif quantity is not None:
        fault = "valueQuantity.value: missing"
    else:
        kind = _other_kind(part)
        fault = f"{kind}: not a kind of result" if kind else ""
    if found is None and given(part.interpretation):
        concepts = decode(part.interpretation, concepts_decoder, "interpretation")
        found = _first(_flagged(concept, analyte) for concept in concepts)
    if found is None and fault:
        raise FhirError(fault)
    return found


def _comparator(text: str | None) -> Comparator:
    if text not in _COMPARATORS:
        raise FhirError("valueQuantity.comparator: not one of its values")
    return _COMPARATORS[text]


def _other_kind(part: Measured) -> str | None:
    """The name of a value of a kind that states no result here."""
    kinds = {
        "valueBoolean": part.value_boolean,
        "valueRange": part.value_range,
        "valueRatio": part.value_ratio,
        "valueSampledData": part.value_sampled_data,
        "valueTime": part.value_time,
        "valueDateTime": part.value_date_time,
        "valuePeriod": part.value_period,
    }
    return next((name for name, raw in kinds.items() if given(raw)), None)


def _first(found: Iterable[Result | None]) -> Result | None:
    return next((one for one in found if one is not None), None)


def _coded(concept: Concept, analyte: AnalyteInfo) -> Result | None:
    answers = (_ANSWERS.get(coding.system or "", {}).get(coding.code or "") for coding in concept.coding or ())
    by_code = _first(_graded(answer, analyte) for answer in answers)
    return by_code or _first(_said(text, analyte) for text in words_of(concept))


def _flagged(concept: Concept, analyte: AnalyteInfo) -> Result | None:
    by_code = _first(_graded(_FLAGS.get(coding.code or ""), analyte) for coding in concept.coding or ())
    words = (text.strip().casefold() for text in words_of(concept))
    return by_code or _first(_graded(_SAYINGS.get(word), analyte) for word in words)


def _graded(word: str | None, analyte: AnalyteInfo) -> Result | None:
    """A word as a result of this analyte: presence where that is asked for, a grade where it has grades."""
    if word is None:
        return None
    presence = _PRESENCE.get(word, word)
    if analyte.qualitative and presence in ("detected", "not-detected"):
        return Result(result=presence)
    grade = _DIPSTICK.get(word, word)
    return Result(result=grade) if grade in analyte.grades else None


def _said(text: str, analyte: AnalyteInfo) -> Result | None:
    """A result in words, or a number in a text. A number needs a unit that is known: without one it says nothing."""
    if len(text) > _LONGEST:
        return None
    plain = " ".join(text.split()).casefold()
    words = _LEAD.sub("", _TAIL.sub("", plain), count=1)
    pluses = _PLUSES.fullmatch(words)
    if pluses:
        return _graded(f"{pluses[1] or pluses[2] or len(pluses[3])}+", analyte)
    if words in _SAYINGS:
        return _graded(_SAYINGS[words], analyte)
    if first := _WORD_FIRST.fullmatch(words):
        word, amount = first.groups()
    elif last := _WORD_LAST.fullmatch(words):
        amount, word = last.groups()
    else:
        word, amount = "", words
    found = _measured(amount, analyte)
    if found is not None and word == "not detected":
        # "Not detected (<137 IU/mL)": the number is only how far the test sees.
        return _graded("not-detected", analyte) if found.comparator in ("<", "<=") else None
    # "Detected, <137 IU/mL": the number says more than the word.
    return found


def _measured(text: str, analyte: AnalyteInfo) -> Result | None:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, digits, unit = found.groups()
    if analyte.spelled(unit) is None:
        return None
    return Result(float(digits), unit, _COMPARATORS[_SIGNS.get(sign, sign)])
