"""What FHIR R4 resources are made of: data types, moments, codes, and references from one to another.

Every reader raises FhirError with a reason in the manner of `monitor.events`: the FHIR path and what is wrong there,
never the value. Structs hold only what is read; anything else, vendor extensions included, is skipped, and a null
counts as absent. Rare elements stay bytes until they are needed.
"""

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Final, NamedTuple, TypeVar

import msgspec

from monitor.events import Event, reason_of
from monitor.times import DAY, Time, TimeError, parse_date, parse_time
from streams.codes import NO_CODES, Codes

Raw = msgspec.Raw
T = TypeVar("T")


def _spellings(name: str, oid: str) -> frozenset[str]:
    """How a code system is named: rightly, by its OID, and as senders often have it."""
    return frozenset(
        (*(f"{scheme}://{name}{end}" for scheme in ("http", "https") for end in ("", "/")), f"urn:oid:{oid}")
    )


LOINC: Final = _spellings("loinc.org", "2.16.840.1.113883.6.1")
RXNORM: Final = _spellings("www.nlm.nih.gov/research/umls/rxnorm", "2.16.840.1.113883.6.88")
SNOMED: Final = _spellings("snomed.info/sct", "2.16.840.1.113883.6.96")
_UCUM: Final = _spellings("unitsofmeasure.org", "2.16.840.1.113883.6.8")


class FhirError(ValueError):
    """A resource, or a part of one, that cannot become an event. The message is its reason."""


class Fault(NamedTuple):
    """A part of a resource that cannot be read, beside others that can."""

    reason: str


Said = list[Event | Fault]
"""What a resource comes to; empty, if no rule watches it."""


# Data types ------------------------------------------------------------------------------------------------------


class Coding(msgspec.Struct, gc=False):
    """A code of a code system."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class Concept(msgspec.Struct, gc=False):
    """A CodeableConcept: one meaning in several codings, and in words."""

    coding: tuple[Coding, ...] | None = None
    text: str | None = None


class Quantity(msgspec.Struct, gc=False):
    """A measured amount."""

    value: float | None = None
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Reference(msgspec.Struct, gc=False):
    """A pointer to another resource."""

    reference: str | None = None
    display: str | None = None


class Period(msgspec.Struct, gc=False):
    """From a moment to another."""

    start: str | None = None
    end: str | None = None


class Meta(msgspec.Struct, rename="camel", gc=False):
    """What the server says of the resource."""

    last_updated: str | None = None


_parts_decoder: Final = msgspec.json.Decoder(tuple[Raw, ...])
concepts_decoder: Final = msgspec.json.Decoder(tuple[Concept, ...])


def given(raw: Raw) -> bool:
    """Whether an element that was left as bytes is there and not empty."""
    return bool(raw) and (len(memoryview(raw)) > 4 or bytes(raw) not in (b"null", b"[]", b"{}"))


def decode(raw: Raw, decoder: msgspec.json.Decoder[T], field: str) -> T:
    """An element that was left as bytes."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FhirError(within(field, reason_of_json(error))) from None


def decode_parts(raw: Raw, field: str) -> tuple[Raw, ...]:
    """The elements of an array, each still bytes, so that a bad one takes no other with it."""
    parts: tuple[Raw, ...] = decode(raw, _parts_decoder, field) if given(raw) else ()
    return parts


def reason_of_json(error: msgspec.MsgspecError | UnicodeDecodeError | RecursionError) -> str:
    """Why bytes are not the JSON that FHIR defines: the path and the kind of value."""
    return reason_of(error).replace(" | null", "").replace("expected float", "expected number")


def within(field: str, reason: str) -> str:
    """A reason found inside an element, with the element's own path before it."""
    if reason.startswith(("event: ", "[")):
        return field + reason.removeprefix("event")
    return f"{field}.{reason}" if ": " in reason else f"{field}: {reason}"


def number(value: float, field: str) -> float:
    """A number that arithmetic can bear: JSON allows 1e308, which millionths cannot hold."""
    if not (isfinite(value) and abs(value) < 1e100):
        raise FhirError(f"{field}: number out of range")
    return value


def unit_of(quantity: Quantity, known: Callable[[str], bool]) -> str | None:
    """The unit by the code if that is UCUM and known, else by the words, else by a code of whatever system."""
    code, unit = quantity.code, quantity.unit
    if code and quantity.system in _UCUM and known(code):
        return code
    if unit and known(unit):
        return unit
    return code or unit or None


# Moments ---------------------------------------------------------------------------------------------------------


class When(NamedTuple):
    """When something was: its texts, and the times they name. A moment ends as it starts."""

    start_text: str
    start: Time
    end_text: str
    end: Time


def instant(text: str, field: str) -> Time:
    """The time that a FHIR instant names.

    Partial dates have neither a time of day nor an offset, so no window of hours can be judged by them: "no offset".
    """
    try:
        return parse_time(text)
    except TimeError as error:
        reason = str(error)
    try:
        parse_date(text)
    except TimeError:
        raise FhirError(f"{field}: {reason}") from None
    raise FhirError(f"{field}: no offset")


def moment(text: str, field: str) -> When:
    """A single instant as a When."""
    at = instant(text, field)
    return When(text, at, text, at)


def recorded_at(issued: str | None, meta: Meta | None, when: When | None) -> str | None:
    """When the source knew it (contract, section 1); None if nothing says so.

    That is `issued`, else `meta.lastUpdated` if within 31 d of the fact (from 31 d before its start to 31 d after its
    end), else the fact's own end or time.
    """
    if issued:
        instant(issued, "issued")
        return issued
    updated = meta.last_updated if meta is not None else None
    if updated:
        at = instant(updated, "meta.lastUpdated")
        if when is None or when.start - 31 * DAY <= at <= when.end + 31 * DAY:
            return updated
    return when.end_text if when is not None else None


# Codes -----------------------------------------------------------------------------------------------------------


def first_code(concept: Concept | None, systems: frozenset[str]) -> str | None:
    """The first code of some code systems."""
    for coding in (concept.coding or ()) if concept is not None else ():
        if coding.system in systems and coding.code:
            return coding.code
    return None


def any_code(concept: Concept | None) -> str | None:
    """The first code, whatever its system; without one the text."""
    if concept is None:
        return None
    return next((coding.code for coding in concept.coding or () if coding.code), concept.text)


def words_of(concept: Concept) -> Iterator[str]:
    """What a concept says in words: its displays, then its text."""
    for coding in concept.coding or ():
        if coding.display:
            yield coding.display
    if concept.text:
        yield concept.text


# References ------------------------------------------------------------------------------------------------------


class Scope:
    """What references can lead to: the entries of one Bundle. Outside a Bundle it is empty."""

    def __init__(self, codes: Codes = NO_CODES) -> None:
        """Starts with nothing known but a site's map of its own codes."""
        self.codes = codes
        self._resources: dict[str, tuple[str, str]] = {}
        self._held: dict[str, object] = {}

    def add(self, kind: str, own_id: str | None, full_url: str | None) -> None:
        """Makes an entry known by its fullUrl. Of several versions in a history the first, the newest, stands."""
        if full_url and own_id:
            self._resources.setdefault(full_url, (kind, own_id))

    def hold(self, kind: str, own_id: str | None, full_url: str | None, resource: object) -> None:
        """Keeps a resource that others draw on, by its fullUrl and by `Type/id`."""
        for key in (full_url, f"{kind}/{own_id}" if own_id else None):
            if key:
                self._held.setdefault(key, resource)

    def resource(self, reference: str) -> tuple[str, str] | None:
        """Type and id of the entry with this fullUrl."""
        return self._resources.get(reference)

    def held(self, reference: str) -> object | None:
        """The kept resource that a reference leads to, whether by fullUrl or by type and id."""
        text = _unversioned(reference)
        return self._held.get(text) or self._held.get("/".join(text.rsplit("/", 2)[-2:]))


def _unversioned(reference: str) -> str:
    return reference.partition("/_history/")[0]


def resource_named(url: str) -> tuple[str, str] | None:
    """Type and id that `Type/id` or `https://…/Type/id` names, whatever version of it."""
    path, _, name = _unversioned(url).rpartition("/")
    kind = path.rpartition("/")[2]
    return (kind, name) if kind.isalpha() and name and not set(name) & set("?#|") else None


def _target(reference: str, kind: str) -> str | None:
    """The id of a resource of this type that a reference names: also the uuid of a `urn:uuid:`."""
    scheme, _, name = reference.rpartition(":")
    if scheme in ("urn:uuid", "urn:oid"):
        return name or None
    named = resource_named(reference)
    return named[1] if named is not None and named[0] == kind else None


def id_of(kind: str, own_id: str | None, full_url: str | None) -> str | None:
    """A resource's id; for one without, as in a transaction, the uuid or the last part of its entry's fullUrl."""
    return own_id or (_target(full_url, kind) if full_url else None)


def patient_of(subject: Reference | None, scope: Scope) -> str:
    """Whose fact it is. A Patient of the same Bundle is known by its id, also where its fullUrl refers to it.

    Contained Patients have ids that mean nothing outside their resource; references by identifier or by search name
    nobody here; Group, Device and Location are not patients. All these are refused.
    """
    reference = subject.reference if subject is not None else None
    if not reference:
        raise FhirError("subject.reference: missing")
    kind, found = scope.resource(reference) or ("Patient", _target(reference, "Patient"))
    if kind != "Patient" or found is None:
        raise FhirError("subject.reference: not to a Patient by its id")
    return found
