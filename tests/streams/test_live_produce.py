"""What of a log is sent, in what order, and what is rejected or left out before it is."""

import json

import pytest
from kafka.record.default_records import DefaultRecordBatchBuilder

from streams.codes import NO_CODES, Codes, LabCode
from streams.knowledge_files import read_plan
from streams.live.produce import read_messages, record_size
from streams.rejects import Rejects
from streams.replay import read_log

PLAN = read_plan([])
LAB = {
    "type": "lab",
    "event_id": "L1",
    "patient_id": "p1",
    "code": "2160-0",
    "value": 1.9,
    "unit": "mg/dL",
    "collected_at": "2026-03-04T06:00:00Z",
    "recorded_at": "2026-03-04T07:10:00Z",
}


def log_of(tmp_path, *events):
    path = tmp_path / "log.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return str(path)


def read(tmp_path, *sources, codes=NO_CODES, **more):
    """The messages, what was rejected, and how many facts were left out."""
    left_out = []
    with Rejects(tmp_path / "rejects") as rejects:
        found = list(read_messages(PLAN, sources, codes, rejects, tmp_path, passed=left_out.append, **more))
    lines = (tmp_path / "rejects").read_text().splitlines()
    return found, [json.loads(line) for line in lines], sum(left_out)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 57, 63, 64, 127, 128, 8191, 8192, 20_000, 1_048_576])
def test_the_size_of_a_message_alone_is_what_a_broker_will_measure(size):
    key, value = b"k" * (size % 200), b"v" * size
    batch = DefaultRecordBatchBuilder(2, 0, False, 1, 0, 0, 4_000_000)
    batch.append(0, timestamp=1_700_000_000_000, key=key, value=value, headers=[])
    assert record_size(key, value) == len(batch.build())


def test_what_is_too_large_for_its_topic_is_rejected_alone_with_its_bytes(tmp_path):
    exact = record_size(b"p1", json.dumps(LAB).encode())
    larger = LAB | {"event_id": "L10"}
    log = log_of(tmp_path, LAB, larger, LAB | {"event_id": "L3"})
    found, rejected, _ = read(tmp_path, log, limits={"lab-results": exact})
    assert [json.loads(one.value)["event_id"] for one in found] == ["L1", "L3"]
    (one,) = rejected
    assert (one["source"], one["line"], one["input"]) == (log, 2, json.dumps(larger))
    assert one["reason"] == f"too large: topic takes {exact} bytes"


def test_the_limit_is_that_of_the_topic_that_a_message_goes_to(tmp_path):
    log = log_of(tmp_path, LAB)
    assert len(read(tmp_path, log, limits={"patients": 1})[0]) == 1
    assert read(tmp_path, log, limits={"lab-results": 1})[0] == []


def observation(name, loinc):
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2026-03-04T06:00:00Z",
        "issued": "2026-03-04T07:10:00Z",
        "valueQuantity": {"value": 1.9, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"},
    }


def test_fhir_that_no_rule_watches_is_left_out_and_counted_as_a_replay_counts_it(tmp_path):
    log = log_of(tmp_path, observation("a", "2160-0"), observation("b", "99999-9"), {"resourceType": "Condition"})
    found, rejected, left_out = read(tmp_path, log)
    assert ([one.topic for one in found], rejected, left_out) == (["lab-results"], [], 2)
    with Rejects(None) as rejects:
        assert read_log(PLAN, [log], rejects).unwatched == left_out


def test_meds_rows_that_the_map_does_not_name_are_left_out_and_counted(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    codes = Codes({"LAB//K": LabCode("2823-3", "mmol/L")}, {}, {})
    table = {
        "subject_id": pa.array([1, 1, 2], pa.int64()),
        "time": pa.array([0, 1, 2], pa.timestamp("us")),
        "code": pa.array(["OTHER", "LAB//K", "OTHER"], pa.string()),
        "numeric_value": pa.array([1.0, 2.4, 3.0], pa.float32()),
    }
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table(table), path)
    found, rejected, left_out = read(tmp_path, path, codes=codes)
    assert (len(found), rejected, left_out) == (1, [], 2)


def test_messages_come_in_order_of_recording_keyed_by_patient(tmp_path):
    late = LAB | {"event_id": "L2", "patient_id": "p2", "recorded_at": "2026-03-04T07:11:00Z"}
    found, _, _ = read(tmp_path, log_of(tmp_path, late, LAB))
    assert [(one.key, one.topic) for one in found] == [(b"p1", "lab-results"), (b"p2", "lab-results")]
