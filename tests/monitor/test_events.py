"""The gate: what is rejected and why, what is not watched, what counts as the same fact."""

import json
from itertools import permutations

import msgspec
import pytest

from monitor.events import Gate, Rejected, decoder, reason_of
from monitor.times import TimeError, parse_time
from tests.monitor.case import US, ZERO, D, H, alerts, dose, every, lab, patient, plan, severity, when


def admit(event):
    return Gate(plan()).admit(decoder.decode(json.dumps(event)))


def reason(event):
    """Why an event is rejected."""
    try:
        admit(event)
    except Rejected as error:
        return str(error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return reason_of(error)
    return None


def bytes_reason(data):
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError, RecursionError)) as caught:
        decoder.decode(data)
    return reason_of(caught.value)


def without(event, field):
    return {name: value for name, value in event.items() if name != field}


LAB = lab("creatinine", 1.0, D)
DOSE = dose("foscarnet", 6300, D)
WHO = patient(D)
ACT = {
    "type": "action",
    "event_id": "a",
    "patient_id": "p1",
    "recorded_at": when(D),
    "alert_id": "x",
    "action": "snooze",
    "by": "b",
}
ALL = [LAB, DOSE, WHO, ACT]


@pytest.mark.parametrize("event", ALL)
def test_whole_events_are_admitted(event):
    assert admit(event) is not None
    assert admit(event | {"further": {"field": [1]}}) is not None


@pytest.mark.parametrize("event", ALL)
@pytest.mark.parametrize("field", ["event_id", "patient_id", "recorded_at"])
def test_identity_and_recording_are_required(event, field):
    assert reason(without(event, field)) == f"{field}: missing"
    assert (reason(event | {field: ""}) or "").startswith(f"{field}: ")
    assert (reason(event | {field: 5}) or "").startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("event", "field"),
    [
        *((LAB, field) for field in ("code", "collected_at", "value", "unit")),
        *((DOSE, field) for field in ("drug", "started_at", "dose", "unit")),
        *((ACT, field) for field in ("alert_id", "action", "by")),
    ],
)
def test_other_required_fields(event, field):
    given = reason(without(event, field))
    if field == "code":
        assert given in (None, "code: missing")
    else:
        assert (given or "").startswith(f"{field}: missing")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"1", b'"x"', b"null", b"\xff", b"{}", b'{"type":"other"}', b"[" * 100_000]
)
def test_what_is_no_event(data):
    given = bytes_reason(data)
    assert given
    assert "`" not in given


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-04T06:00:00",
        "2026-03-04",
        "1899-12-31T23:59:59Z",
        "2101-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-03-04T25:00:00Z",
        "yesterday",
    ],
)
@pytest.mark.parametrize(
    ("event", "field"), [(LAB, "recorded_at"), (LAB, "collected_at"), (DOSE, "started_at"), (DOSE, "ended_at")]
)
def test_times_need_an_offset_and_a_sensible_year(text, event, field):
    given = reason(event | {field: text})
    assert given is not None
    assert given.startswith(f"{field}: ")
    assert text not in given


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-03-03T24:00:00Z", "2026-03-04T00:00:00Z"),
        ("2026-03-03T24:00:00.000+01:00", "2026-03-03T23:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T18:59:60.25-05:00", "2017-01-01T00:00:00.25Z"),
        ("2026-03-04T06:00:00z", "2026-03-04T06:00:00Z"),
        ("2026-03-04T20:00:00.123456789+14:00", "2026-03-04T06:00:00.123456Z"),
        ("2026-03-03T24:00:01Z", None),
        ("2026-03-03T24:00", None),
        ("2026-03-03T23:59:61Z", None),
        ("9999-12-31T24:00:00Z", None),
    ],
)
def test_rare_times_of_iso_8601(text, same):
    if same is None:
        with pytest.raises(TimeError):
            parse_time(text)
    else:
        assert parse_time(text) == parse_time(same)


@pytest.mark.parametrize(("event", "field"), [(LAB, "collected_at"), (DOSE, "started_at")])
def test_clinical_time_at_most_1_h_ahead(event, field):
    assert reason(event | {field: when(D + H)}) is None
    assert "after recorded_at" in (reason(event | {field: when(D + H + US)}) or "")


@pytest.mark.parametrize(("event", "field"), [(LAB, "collected_at"), (DOSE, "started_at")])
def test_too_late_after_400_d(event, field):
    assert reason(event | {field: when(D - 400 * D)}) is None
    assert (reason(event | {field: when(D - 400 * D - US)}) or "").startswith("too-late")


def test_the_end_is_not_before_the_start():
    assert reason(DOSE | {"ended_at": when(D)}) is None
    assert reason(DOSE | {"ended_at": when(D - US)}) == "ended_at: before started_at"


@pytest.mark.parametrize("value", ["1.0", None, True, [1]])
def test_a_value_is_a_number(value):
    assert (reason(LAB | {"value": value}) or "").startswith("value: ")


def test_no_infinite_and_no_negative_values():
    assert reason(LAB | {"value": -0.1}) == "value: negative"
    assert reason(DOSE | {"dose": -1}) == "dose: negative"
    assert bytes_reason(json.dumps(LAB).replace("1.0", "1e999").encode())
    assert bytes_reason(json.dumps(LAB | {"value": float("nan")}).encode())


@pytest.mark.parametrize("size", [1e100, 1e305, 1.79e308])
def test_numbers_beyond_what_arithmetic_can_bear(size):
    assert reason(LAB | {"value": size}) == "value: number out of range"
    assert reason(lab("cmv", -size, D, "{Log_IU}/mL")) == "value: number out of range"
    assert reason(DOSE | {"dose": size}) == "dose: number out of range"
    assert reason(DOSE | {"dose": size, "drug": "paracetamol"}) == "dose: number out of range"
    assert reason(LAB | {"value": 9e99}) is None
    assert reason(DOSE | {"dose": 9e99}) is None


def test_log_units_may_be_negative():
    assert reason(lab("cmv", -1.0, D, "{Log_IU}/mL", code="100676-6")) is None
    assert reason(lab("cmv", -1.0, D)) == "value: negative"


@pytest.mark.parametrize(("event", "unit"), [(LAB, "g"), (LAB, "mg"), (DOSE, "kg"), (DOSE, "nonsense"), (LAB, "")])
def test_units_that_are_not_known(event, unit):
    given = reason(event | {"unit": unit})
    assert given is not None
    assert given.startswith("unit: ")


@pytest.mark.parametrize(
    ("what", "result", "known"),
    [
        ("cmv", "detected", True),
        ("cmv", "not-detected", True),
        ("dipstick", "negative", True),
        ("dipstick", "trace", True),
        *(("dipstick", f"{i}+", True) for i in range(1, 5)),
        ("dipstick", "5+", False),
        ("creatinine", "detected", False),
        ("cmv", "2+", False),
    ],
)
def test_results_in_a_word(what, result, known):
    assert (reason(lab(what, result, D)) is None) == known


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (LAB, "status"),
        (LAB, "comparator"),
        (DOSE, "status"),
        (DOSE, "indication"),
        (WHO, "sex"),
        (WHO, "transplant"),
        (WHO, "donor_cmv"),
        (WHO, "dialysis"),
        (ACT, "action"),
        (ACT, "severity"),
    ],
)
def test_words_outside_their_list(event, field):
    given = reason(event | {field: "SECRET"})
    assert given is not None
    assert given.startswith(f"{field}: ")
    assert "SECRET" not in given


@pytest.mark.parametrize("date", ["1975-13-01", "1975-02-30", "x"])
def test_birth_dates(date):
    assert (reason(WHO | {"birth_date": date}) or "").startswith("birth_date: ")


def test_not_watched_is_no_error():
    assert admit(LAB | {"code": "99999-9"}) is None
    assert admit(DOSE | {"drug": "water"}) is None


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_no_value_is_needed_where_there_is_no_result(status):
    assert reason(without(without(LAB, "value"), "unit") | {"status": status}) is None


def test_a_withdrawn_dose_and_one_not_given_need_no_amount():
    assert reason(without(without(DOSE, "dose"), "unit") | {"status": "not-done"}) is None
    bare = {"type": "administration", "event_id": "a", "patient_id": "p1", "recorded_at": when(D)}
    assert reason(bare | {"status": "entered-in-error"}) is None
    assert reason(bare) == "drug: missing"


def test_a_dose_of_a_source_that_charts_no_amounts_counts_as_given():
    def uncharted(event):
        return Gate(plan()).admit_uncharted(decoder.decode(json.dumps(event)))

    unsized = without(without(DOSE, "dose"), "unit")
    assert (uncharted(unsized).given, uncharted(unsized).value) == (True, None)
    assert not uncharted(unsized | {"status": "not-done"}).given
    assert uncharted(DOSE) == admit(DOSE)
    with pytest.raises(Rejected, match="unit: missing"):
        uncharted(without(DOSE, "unit"))


@pytest.mark.parametrize(
    "names",
    [
        ("foscarnet", "33562"),
        ("ciclosporin", "cyclosporine", "3008"),
        ("valganciclovir", "275891"),
        ("sodium chloride", "9863"),
    ],
)
def test_a_drug_by_code_and_by_each_name(names):
    found = {admit(DOSE | {"drug": name, "unit": "mg"}).drug for name in names}
    assert len(found) == 1


# Identity ---------------------------------------------------------------------------------------------------------

BEFORE = [patient(), dose("foscarnet", 90, 10 * D, "mg/kg"), lab("creatinine", 1.0, 9 * D)]
VERSIONS = {
    "final": lab("creatinine", 1.1, 11 * D, event_id="L"),
    "preliminary": lab("creatinine", 3.0, 11 * D, event_id="L", status="preliminary"),
    "corrected": lab("creatinine", 1.6, 11 * D, event_id="L", status="corrected"),
    "entered-in-error": lab("creatinine", 9.0, 11 * D, event_id="L", status="entered-in-error"),
}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("preliminary",), "critical"),
        (("preliminary", "final"), None),
        (("preliminary", "final", "corrected"), "warning"),
        (("preliminary", "final", "corrected", "entered-in-error"), None),
    ],
)
def test_of_one_recording_the_weightier_status_holds_in_any_order(names, expected):
    for order in permutations(names):
        assert severity([*BEFORE, *(VERSIONS[name] for name in order)], "aki") == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_the_newest_recording_holds_in_any_order(reverse):
    first = lab("creatinine", 3.0, 11 * D, event_id="L", status="corrected")
    second = lab("creatinine", 1.1, 11 * D, event_id="L", recorded_at=11 * D + H)
    pair = [second, first] if reverse else [first, second]
    assert severity([*BEFORE, *pair], "aki") is None


def test_a_repetition_changes_nothing():
    high = lab("creatinine", 2.0, 11 * D)
    once = alerts([*BEFORE, high])
    assert alerts([*BEFORE, high, high, *BEFORE]) == once


def test_of_two_equals_the_greater_text_holds_in_any_order():
    two = [lab("creatinine", value, 11 * D, event_id="L") for value in (1.1, 2.0)]
    assert severity([*BEFORE, *two], "aki") == severity([*BEFORE, *two[::-1]], "aki") == "critical"


INDUCTION, MAINTENANCE = {"indication": "treatment"}, {"indication": "maintenance"}


@pytest.mark.parametrize(
    ("holds", "other"),
    [
        (INDUCTION, MAINTENANCE),
        # Where a field is missing, the text goes on with one that comes later in the alphabet.
        ({}, MAINTENANCE),
        (MAINTENANCE, INDUCTION | {"ended_at": when(6 * D)}),
        (INDUCTION, INDUCTION | {"status": "not-done"}),
        (MAINTENANCE | {"dose": 900}, INDUCTION | {"dose": 1800}),
    ],
)
def test_of_two_doses_of_one_recording_the_greater_text_holds_in_any_order(holds, other):
    def verdict(*versions):
        doses = (dose("foscarnet", 900, at, event_id=f"D{at}") for at in every(12 * H, ZERO, 5 * D))
        events = [patient(), *(one | version for one in doses for version in versions)]
        # Creatinine is asked for every 96 h in induction.
        return severity(events, "overdue-renal", 4 * D)

    assert verdict(holds) != verdict(other)
    assert verdict(holds, other) == verdict(other, holds) == verdict(holds)


def test_one_verdict_an_instant():
    same = [lab("creatinine", 1.6, 11 * D, recorded_at=12 * D), lab("creatinine", 1.0, 11 * D + H, recorded_at=12 * D)]
    (change, *rest) = [one for one in alerts([*BEFORE, *same]) if one.code == "aki"]
    assert {one.emitted_at for one in (change, *rest)} == {"2026-01-13T00:00:00Z"}
