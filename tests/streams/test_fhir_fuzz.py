"""FHIR fuzzed: any bytes, any JSON, any R4 resource, whole or mutated, by our table of R4 or the official schema."""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from monitor.events import Gate, Rejected, decoder
from streams.fhir import Found, Passed, Refused, read_resource
from tests.streams import fhir_r4
from tests.streams.fhir_documents import PLAN, bundle, reason

SCHEMA = Path(__file__).parent / "fhir-r4.schema.json"

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def check(data: bytes) -> list[Found | Refused | Passed]:
    """What holds for any bytes at all."""
    found = list(read_resource(data, PLAN))
    assert found
    gate = Gate(PLAN)
    for one in found:
        if isinstance(one, Found):
            # The event is one that could have come over the wire as it is, and the gate takes or rejects it.
            assert decoder.decode(msgspec.json.encode(one.event)) == one.event
            with suppress(Rejected):
                gate.admit(one.event)
        elif isinstance(one, Refused):
            assert one.reason
            assert one.data == data if one.entry is None else one.data in data
        else:
            assert one.what
    return found


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


@FUZZ
@given(st.binary(max_size=300))
@example(b'{"resourceType":"Observation","code":{}}\x00')
def test_any_bytes(data: bytes) -> None:
    check(data)


@FUZZ
@given(fhir_r4.JSON)
def test_any_json(document: Any) -> None:
    check(dumped(document))
    if not isinstance(document, dict):
        assert reason(dumped(document)) == "resourceType: missing"


@FUZZ
@given(fhir_r4.JSON, st.sampled_from([*fhir_r4.RESOURCES]))
def test_any_json_of_a_resource_type(document: Any, kind: str) -> None:
    check(dumped((document if isinstance(document, dict) else {"entry": document}) | {"resourceType": kind}))


@pytest.mark.slow
@settings(FUZZ, max_examples=300)
@given(fhir_r4.resources())
def test_any_r4_resource(resource: dict[str, Any]) -> None:
    found = check(dumped(resource))
    # A resource alone is one finding at least, and nothing of R4 is a wrong kind of JSON.
    assert not any(isinstance(one, Refused) and "expected" in one.reason for one in found)


@pytest.mark.slow
@settings(FUZZ, max_examples=300)
@given(fhir_r4.mutated(fhir_r4.resources()))
def test_any_mutated_resource(document: Any) -> None:
    check(dumped(document))


@FUZZ
@given(fhir_r4.resources().map(dumped), st.data())
def test_any_damaged_document(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    check(data[:at])
    check(data[:at] + draw.draw(st.binary(min_size=1, max_size=4)) + data[at + 1 :])


@FUZZ
@given(fhir_r4.resource("Bundle", fhir_r4.DEFINITIONS), st.randoms(use_true_random=False))
def test_the_order_of_entries_makes_no_difference(document: dict[str, Any], rng: Any) -> None:
    """But in a history, where the order says which version is the newer; and where two entries share a fullUrl."""
    entries = document.get("entry", [])
    urls = [entry.get("fullUrl") for entry in entries if entry.get("fullUrl")]
    ids = [entry.get("resource", {}).get("id") for entry in entries]
    if len(set(urls)) < len(urls) or len(set(ids)) < len(ids) or "Bundle" in json.dumps(entries):
        return
    document["type"] = "collection"
    before = Counter(msgspec.json.encode(one.event) for one in check(dumped(document)) if isinstance(one, Found))
    rng.shuffle(entries)
    assert before == Counter(
        msgspec.json.encode(one.event) for one in check(dumped(document)) if isinstance(one, Found)
    )


@FUZZ
@given(
    st.one_of(
        fhir_r4.resource("Observation", fhir_r4.DEFINITIONS),
        fhir_r4.resource("MedicationAdministration", fhir_r4.DEFINITIONS),
    )
)
def test_alone_or_in_a_bundle_is_the_same(resource: dict[str, Any]) -> None:
    def said(document: bytes) -> list[Any]:
        """What it comes to, apart from its place and from whether its bytes are a view of the Bundle's."""
        found = [one._replace(entry=0) for one in check(document)]
        return [one if isinstance(one, Passed) else one._replace(data=bytes(one.data)) for one in found]

    assert said(dumped(resource)) == said(dumped(bundle(resource)))


MARK = "\N{SNOWMAN}"


def marked(tree: Any) -> Any:
    """The tree with a mark in every text that is no name of an element."""
    if isinstance(tree, dict):
        return {key: value if key == "resourceType" else marked(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [marked(one) for one in tree]
    return f"{tree}{MARK}" if isinstance(tree, str) else tree


@FUZZ
@given(fhir_r4.mutated(fhir_r4.resources()), st.integers(0, 3))
def test_no_reason_quotes_what_was_refused(document: Any, every: int) -> None:
    """Neither texts nor numbers of the input, whether all of them are strange or but some parts."""
    whole = marked(document)
    if isinstance(document, dict) and isinstance(whole, dict) and every:
        names = sorted(document)[:: every + 1]
        whole = document | {name: whole[name] for name in names}
    for one in check(dumped(whole)):
        if isinstance(one, Refused):
            assert MARK not in one.reason


def schema() -> fhir_r4.Definitions:
    return fhir_r4.from_schema(json.loads(SCHEMA.read_text("utf-8")))


def test_the_table_agrees_with_the_official_schema() -> None:
    official = schema()
    for kind, elements in fhir_r4.DEFINITIONS.items():
        for name, (of, many) in elements.items():
            assert name in official[kind], (kind, name)
            if of not in fhir_r4.SPECIAL:
                assert official[kind][name] == (of, many), (kind, name)


@pytest.mark.slow
def test_fuzz_driven_by_the_official_schema() -> None:
    definitions = schema()
    resources = st.one_of(*(fhir_r4.resource(kind, definitions) for kind in fhir_r4.RESOURCES))

    @settings(FUZZ, max_examples=500)
    @given(resources)
    def fuzz(document: dict[str, Any]) -> None:
        found = check(dumped(document))
        assert not any(isinstance(one, Refused) and "expected" in one.reason for one in found)

    @settings(FUZZ, max_examples=500)
    @given(fhir_r4.mutated(resources))
    def fuzz_mutated(document: Any) -> None:
        check(dumped(document))

    fuzz()
    fuzz_mutated()
