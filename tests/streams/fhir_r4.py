"""FHIR R4 as hypothesis strategies: the resources that are read, with the elements R4 gives them.

`DEFINITIONS` is written from R4 (4.0.1): element by element its type, `*` for many. `from_schema` makes the same from
HL7's own fhir.schema.json, where that is at hand, so that fuzzing can be driven by either.
"""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

ELEMENT = "id:string extension:Extension*"
BACKBONE = f"{ELEMENT} modifierExtension:Extension*"
RESOURCE = (
    "id:id meta:Meta implicitRules:uri language:code text:Narrative contained:Resource* extension:Extension* "
    "modifierExtension:Extension* identifier:Identifier*"
)
VALUES = (
    "valueQuantity:Quantity valueCodeableConcept:CodeableConcept valueString:string valueBoolean:boolean "
    "valueInteger:integer valueRange:Range valueRatio:Ratio valueSampledData:SampledData valueTime:time "
    "valueDateTime:dateTime valuePeriod:Period dataAbsentReason:CodeableConcept interpretation:CodeableConcept* "
    "referenceRange:Observation_ReferenceRange*"
)
_TABLE = {
    "Observation": f"{RESOURCE} basedOn:Reference* partOf:Reference* status:status category:CodeableConcept* "
    "code:CodeableConcept subject:Reference focus:Reference* encounter:Reference effectiveDateTime:dateTime "
    "effectivePeriod:Period effectiveTiming:Timing effectiveInstant:instant issued:instant performer:Reference* "
    f"{VALUES} note:Annotation* bodySite:CodeableConcept method:CodeableConcept specimen:Reference device:Reference "
    "hasMember:Reference* derivedFrom:Reference* component:Observation_Component*",
    "Observation_Component": f"{BACKBONE} code:CodeableConcept {VALUES}",
    "Observation_ReferenceRange": f"{BACKBONE} low:Quantity high:Quantity type:CodeableConcept text:string",
    "MedicationAdministration": f"{RESOURCE} instantiates:uri* partOf:Reference* status:status "
    "statusReason:CodeableConcept* category:CodeableConcept medicationCodeableConcept:CodeableConcept "
    "medicationReference:Reference subject:Reference context:Reference supportingInformation:Reference* "
    "effectiveDateTime:dateTime effectivePeriod:Period reasonCode:CodeableConcept* reasonReference:Reference* "
    "request:Reference device:Reference* note:Annotation* dosage:MedicationAdministration_Dosage "
    "eventHistory:Reference*",
    "MedicationAdministration_Dosage": f"{BACKBONE} text:string site:CodeableConcept route:CodeableConcept "
    "method:CodeableConcept dose:Quantity rateRatio:Ratio rateQuantity:Quantity",
    "Medication": f"{RESOURCE} code:CodeableConcept status:code manufacturer:Reference form:CodeableConcept "
    "amount:Ratio ingredient:Medication_Ingredient*",
    "Medication_Ingredient": f"{BACKBONE} itemCodeableConcept:CodeableConcept itemReference:Reference isActive:boolean "
    "strength:Ratio",
    "Patient": f"{RESOURCE} active:boolean gender:gender birthDate:date deceasedBoolean:boolean "
    "deceasedDateTime:dateTime maritalStatus:CodeableConcept generalPractitioner:Reference*",
    "Condition": f"{RESOURCE} code:CodeableConcept subject:Reference onsetDateTime:dateTime",
    "Bundle": "id:id meta:Meta identifier:Identifier type:bundleType timestamp:instant total:unsignedInt "
    "entry:Bundle_Entry*",
    "Bundle_Entry": f"{BACKBONE} fullUrl:uri resource:Resource request:Bundle_Request response:Bundle_Response",
    "Bundle_Request": f"{BACKBONE} method:method url:uri ifNoneMatch:string",
    "Bundle_Response": f"{BACKBONE} status:string location:uri etag:string lastModified:instant",
    "CodeableConcept": f"{ELEMENT} coding:Coding* text:string",
    "Coding": f"{ELEMENT} system:uri version:string code:code display:string userSelected:boolean",
    "Quantity": f"{ELEMENT} value:decimal comparator:comparator unit:unit system:uri code:unit",
    "Range": f"{ELEMENT} low:Quantity high:Quantity",
    "Ratio": f"{ELEMENT} numerator:Quantity denominator:Quantity",
    "SampledData": f"{ELEMENT} origin:Quantity period:decimal dimensions:positiveInt data:string",
    "Period": f"{ELEMENT} start:dateTime end:dateTime",
    "Timing": f"{BACKBONE} event:dateTime* code:CodeableConcept",
    "Reference": f"{ELEMENT} reference:reference type:uri identifier:Identifier display:string",
    "Identifier": f"{ELEMENT} system:uri value:string period:Period",
    "Meta": f"{ELEMENT} versionId:id lastUpdated:instant source:uri profile:canonical* tag:Coding*",
    "Annotation": f"{ELEMENT} authorString:string time:dateTime text:markdown",
    "Narrative": f"{ELEMENT} status:code div:xhtml",
    "Extension": f"{ELEMENT} url:uri valueString:string valueCode:code valueQuantity:Quantity",
}
Definitions = dict[str, dict[str, tuple[str, bool]]]
"""Element by element: its type, and whether it is an array."""


def _parsed(line: str) -> dict[str, tuple[str, bool]]:
    pairs = (part.split(":") for part in line.split())
    return {name: (kind.rstrip("*"), kind.endswith("*")) for name, kind in pairs}


DEFINITIONS: Definitions = {kind: _parsed(line) for kind, line in _TABLE.items()}
RESOURCES = ("Observation", "MedicationAdministration", "Medication", "Patient", "Condition", "Bundle")

LAB = "id status code subject"
DOSE = "id status subject dosage"
USUAL: dict[str, tuple[tuple[str, ...], ...]] = {
    "Observation": (
        (LAB, "effectiveDateTime issued valueQuantity"),
        (LAB, "effectiveDateTime meta valueCodeableConcept"),
        (LAB, "effectivePeriod valueString interpretation"),
        (LAB, "effectiveInstant issued component"),
        (LAB, "effectiveDateTime dataAbsentReason"),
    ),
    "MedicationAdministration": (
        (DOSE, "meta effectiveDateTime medicationCodeableConcept"),
        (DOSE, "effectivePeriod medicationReference contained"),
        (DOSE, "meta effectivePeriod medicationReference reasonCode"),
    ),
    "MedicationAdministration_Dosage": (("dose route",), ("rateQuantity",), ("rateRatio",)),
    "Observation_Component": (("code valueQuantity",), ("code valueCodeableConcept",), ("code dataAbsentReason",)),
    "Medication": (("id code",), ("id ingredient",)),
    "Medication_Ingredient": (("itemCodeableConcept",),),
    "Patient": (("id gender birthDate meta",),),
    "Bundle": (("type entry",),),
    "Bundle_Entry": (("fullUrl resource",), ("resource",), ("fullUrl request response",), ("resource request",)),
    "Bundle_Request": (("method url",),),
    "Bundle_Response": (("status lastModified",),),
    "CodeableConcept": (("coding",), ("text",)),
    "Coding": (("system code",), ("system code display",)),
    "Quantity": (("value unit code system",), ("value unit",)),
    "Ratio": (("numerator denominator",),),
    "Reference": (("reference",),),
    "Period": (("start end",), ("start",)),
    "Timing": (("event",),),
    "Meta": (("lastUpdated",),),
}
"""Elements that a useful resource has, in some of its shapes; others come now and then."""


def from_schema(schema: dict[str, Any]) -> Definitions:
    """The same table from HL7's JSON schema. Primitives that carry their own pattern keep the type of their name."""
    found: Definitions = {}
    for kind, definition in schema["definitions"].items():
        elements = {}
        for name, data in definition.get("properties", {}).items():
            many = data.get("type") == "array"
            target = data.get("items", data) if many else data
            reference = target.get("$ref", "").rsplit("/", 1)[-1]
            hand = DEFINITIONS.get(kind, {}).get(name)
            if "const" in target or name == "resourceType":
                continue
            if reference == "ResourceList":
                reference = "Resource"
            if not reference or (hand and hand[0] in SPECIAL):
                reference = hand[0] if hand else _primitive(name, target)
            elements[name] = (reference, many)
        if elements:
            found[kind] = elements
    return found


def _primitive(name: str, target: dict[str, Any]) -> str:
    if "enum" in target:
        return "code"
    for end in ("DateTime", "Instant", "Time", "Date", "Boolean", "Integer"):
        if name.endswith(end):
            return end[0].lower() + end[1:]
    return {"boolean": "boolean", "number": "decimal"}.get(target.get("type", ""), "string")


# Primitives ------------------------------------------------------------------------------------------------------


def one_of(texts: str) -> st.SearchStrategy[str]:
    """One of several texts, written as one with semicolons between."""
    return st.sampled_from(texts.split(";"))


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-10, 10**12),
    st.sampled_from((0, 0.9, 1.3, 7, 70, 137, 900, 6300, 1e-9, 1e99, 1e101, 1.7e308)),
)
STAMPS = st.datetimes(datetime(2026, 2, 1), datetime(2026, 4, 1), timezones=st.just(UTC)).map(datetime.isoformat)
OFFSETS = st.builds(
    lambda at, hour, minute, sign, fraction: f"{at[:19]}{fraction}{sign}{hour:02}:{minute:02}",
    STAMPS,
    st.integers(0, 14),
    st.sampled_from((0, 15, 30, 45)),
    st.sampled_from("+-"),
    st.sampled_from(("", ".1", ".401", ".123456789")),
)
INSTANTS = st.one_of(STAMPS, OFFSETS, STAMPS.map(lambda at: f"{at[:19]}Z"))
PARTIAL = st.builds(lambda at, n: at[:n], STAMPS, st.sampled_from((4, 7, 10, 19)))
WORDS = one_of(
    "detected;not detected;Target not detected;positive;Negative;trace;1+;++;<137 IU/mL;> 10000000 [IU]/mL;100 mg/dL;"
    "Detected, <34.5 IU/mL;foscarnet;Foscavir;ganciclovir;kg;Intravenous route (qualifier value);IV;oral;prophylaxis;"
    "Pre-emptive treatment;secondary prophylaxis;maintenance;see comment;"
)
TEXTS = st.one_of(WORDS, st.text(max_size=20))
SYSTEMS = st.sampled_from(
    (
        "http://loinc.org",
        "urn:oid:2.16.840.1.113883.6.1",
        "http://www.nlm.nih.gov/research/umls/rxnorm",
        "http://snomed.info/sct",
        "http://unitsofmeasure.org",
        "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "urn:oid:1.2.3.4",
    )
)
CODES = one_of(
    "2160-0;751-8;72493-0;20454-5;2888-6;29463-7;8302-2;33562;4678;388052;275891;161;260373001;260415000;260385009;"
    "260348001;LA11882-0;LA6577-6;POS;NEG;DET;ND;47625008;26643006;IV;local"
)
UNITS = one_of(
    "mg/dL;umol/L;10*3/uL;K/uL;[IU]/mL;IU/mL;kg;[lb_av];lbs;mg;g;mg/kg;mL;mg/h;mL/h;mg/(kg.h);mg/kg/min;h;min;{x}"
)
REFERENCES = one_of(
    "Patient/p1;Patient/p2/_history/3;https://ehr.example/fhir/Patient/p1;urn:uuid:u1;urn:uuid:u2;Medication/m1;#m1;"
    "Group/g1;Patient?identifier=1;Observation/o1;Patient/;p1"
)
IDS = st.sampled_from(("p1", "p2", "m1", "o1", "a1"))

SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "status": one_of(
        "registered;preliminary;final;amended;corrected;cancelled;entered-in-error;unknown;in-progress;not-done;"
        "on-hold;completed;stopped"
    ),
    "gender": st.sampled_from(("male", "female", "other", "unknown")),
    "comparator": st.sampled_from(("<", "<=", ">", ">=")),
    "bundleType": one_of(
        "document;message;transaction;transaction-response;batch;batch-response;history;searchset;collection"
    ),
    "method": st.sampled_from(("GET", "PUT", "POST", "DELETE", "PATCH")),
    "unit": UNITS,
    "reference": REFERENCES,
}
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    **SPECIAL,
    "string": TEXTS,
    "markdown": TEXTS,
    "xhtml": TEXTS,
    "id": IDS,
    "code": CODES,
    "uri": st.one_of(SYSTEMS, REFERENCES),
    "url": REFERENCES,
    "canonical": REFERENCES,
    "base64Binary": st.just("AAAA"),
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31),
    "positiveInt": st.integers(1, 2**31),
    "unsignedInt": st.integers(0, 2**31),
    "decimal": NUMBERS,
    "instant": INSTANTS,
    "dateTime": st.one_of(INSTANTS, INSTANTS, PARTIAL),
    "date": PARTIAL.filter(lambda text: len(text) <= 10),
    "time": st.just("08:00:00"),
}


# What makes a resource one of interest ----------------------------------------------------------------------------


def coded(system: str, codes: str) -> st.SearchStrategy[dict[str, Any]]:
    """A concept with one of some codes, alone, and with a local coding before it."""
    known = one_of(codes).map(lambda code: {"system": system, "code": code})
    local = {"system": "urn:oid:1.2.3.4", "code": "LOCAL"}
    return st.one_of(known.map(lambda one: {"coding": [one]}), known.map(lambda one: {"coding": [local, one]}))


def measured(units: str) -> st.SearchStrategy[dict[str, Any]]:
    """A quantity in one of some units of UCUM."""
    return st.builds(
        lambda value, unit, more: (
            {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit} | more
        ),
        st.one_of(st.floats(0, 1000), NUMBERS),
        one_of(units),
        st.sampled_from(({}, {}, {"comparator": "<"}, {"comparator": ">="})),
    )


LAB_CODES = coded("http://loinc.org", "2160-0;2160-0;751-8;72493-0;72493-0;20454-5;29463-7;8302-2")
DRUGS = coded("http://www.nlm.nih.gov/research/umls/rxnorm", "33562;4678;388052;275891;9863;161")
ANSWERS = st.one_of(
    coded("http://snomed.info/sct", "260373001;260415000;260385009;260348001;167276005;419984006"),
    coded("http://loinc.org", "LA11882-0;LA6577-6"),
    WORDS.map(lambda text: {"text": text}),
)
PATIENTS = one_of("Patient/p1;https://ehr.example/fhir/Patient/p1;urn:uuid:u1").map(lambda text: {"reference": text})
LAB_STATUS = one_of("final;final;final;preliminary;amended;corrected;registered;cancelled;entered-in-error;unknown")
DOSE_STATUS = one_of("completed;completed;in-progress;stopped;not-done;on-hold;entered-in-error;unknown")
SHAPED: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("Observation", "status"): LAB_STATUS,
    ("Observation", "code"): LAB_CODES,
    ("Observation", "subject"): PATIENTS,
    ("Observation", "valueQuantity"): measured("mg/dL;umol/L;10*3/uL;[IU]/mL;kg"),
    ("Observation", "valueCodeableConcept"): ANSWERS,
    ("Observation", "valueString"): WORDS,
    ("Observation_Component", "code"): LAB_CODES,
    ("Observation_Component", "valueQuantity"): measured("mg/dL;10*3/uL"),
    ("MedicationAdministration", "status"): DOSE_STATUS,
    ("MedicationAdministration", "medicationCodeableConcept"): DRUGS,
    ("MedicationAdministration", "medicationReference"): one_of("#m1;Medication/m1;urn:uuid:u2").map(
        lambda text: {"reference": text}
    ),
    ("MedicationAdministration", "contained"): st.builds(
        lambda code: [{"resourceType": "Medication", "id": "m1", "code": code}], DRUGS
    ),
    ("MedicationAdministration", "subject"): PATIENTS,
    ("MedicationAdministration_Dosage", "dose"): measured("mg;mg;g;mg/kg;mL"),
    ("MedicationAdministration_Dosage", "rateQuantity"): measured("mg/h;mg/kg/min;mL/h;mg/(kg.h)"),
    ("MedicationAdministration_Dosage", "route"): coded("http://snomed.info/sct", "47625008;26643006;418401004"),
    ("Medication", "code"): DRUGS,
    ("Medication_Ingredient", "itemCodeableConcept"): DRUGS,
    ("Bundle_Entry", "fullUrl"): one_of("urn:uuid:u1;urn:uuid:u2;urn:uuid:u3;https://ehr.example/fhir/Patient/p1"),
    ("Bundle_Request", "url"): one_of("Observation/o1;MedicationAdministration/a1;Patient/p1;Condition/c1"),
}
"""By type and element: what is drawn four times out of five, since any code at all is hardly ever a watched one."""

# Resources -------------------------------------------------------------------------------------------------------


def element(kind: str, definitions: Definitions, depth: int = 0) -> st.SearchStrategy[Any]:
    """Any value of an R4 type. Beyond a few levels only what is usual is filled in, so that trees end."""
    if kind == "Resource":
        return st.sampled_from(RESOURCES[: -1 if depth > 3 else None]).flatmap(
            lambda name: resource(name, definitions, depth + 1)
        )
    if kind in PRIMITIVES:
        return PRIMITIVES[kind]
    return _filled(kind, definitions, depth) if kind in definitions else st.just({})


@st.composite
def _filled(draw: st.DrawFn, kind: str, definitions: Definitions, depth: int) -> dict[str, Any]:
    elements = definitions[kind]
    usual = (name for names in draw(st.sampled_from(USUAL.get(kind, ((),)))) for name in names.split())
    names = [name for name in usual if name in elements and draw(st.integers(0, 19)) < 19]
    if depth < 4 and draw(st.integers(0, 2)) == 2:
        names += draw(st.lists(st.sampled_from(sorted(elements)), max_size=4 if depth < 2 else 1))
    made = {}
    for name in dict.fromkeys(names):
        of, many = elements[name]
        shaped = SHAPED.get((kind, name))
        if shaped is not None and draw(st.integers(0, 4)) < 4:
            made[name] = draw(shaped)
            continue
        inner = element(of, definitions, depth + 1)
        made[name] = draw(st.lists(inner, min_size=1, max_size=3) if many else inner)
    return made


def resource(kind: str, definitions: Definitions, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Any resource of a type."""
    return _filled(kind, definitions, depth).map(lambda made: {"resourceType": kind, **made})


def resources(definitions: Definitions = DEFINITIONS) -> st.SearchStrategy[dict[str, Any]]:
    """Any resource of the types that are read."""
    return st.sampled_from(RESOURCES).flatmap(lambda kind: resource(kind, definitions))


# What is not FHIR ------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, SYSTEMS, INSTANTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, made: st.SearchStrategy[dict[str, Any]]) -> Any:
    """A resource with one to three of its parts taken away, replaced by anything, wrapped or unwrapped."""
    tree: Any = json.loads(json.dumps(draw(made)))
    for _ in range(draw(st.integers(1, 3))):
        places = [(holder, key) for holder, key in _places(tree) if key != "resourceType"]
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(("drop", "replace", "wrap", "unwrap", "null", "text")))
        if change == "drop":
            del holder[key]
        elif change == "replace":
            holder[key] = draw(JSON)
        elif change == "wrap":
            holder[key] = [holder[key]]
        elif change == "unwrap" and isinstance(holder[key], list) and holder[key]:
            holder[key] = holder[key][0]
        elif change == "text":
            holder[key] = str(holder[key])
        else:
            holder[key] = None
    return tree


def _places(tree: Any) -> Any:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield tree, key
            yield from _places(value)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield tree, index
            yield from _places(value)
