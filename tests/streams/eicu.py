"""The laboratory table of the eICU demo as native events, with the site's own names for codes and units.

`labresultoffset` is when the specimen was taken, `labresultrevisedoffset` when the result was entered, in minutes from
admission to the unit; every stay begins on one made-up day.
"""

import csv
import json
from datetime import UTC, datetime, timedelta

ADMITTED = datetime(2015, 6, 1, tzinfo=UTC)


def lab_events(path):
    """The lines of a log."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["labresult"]:
                yield json.dumps(_event(row)).encode()


def _event(row):
    collected, revised = (int(row[name]) for name in ("labresultoffset", "labresultrevisedoffset"))
    return {
        "type": "lab",
        "event_id": row["labid"],
        "patient_id": row["patientunitstayid"],
        "code": row["labname"],
        "value": float(row["labresult"]),
        "unit": row["labmeasurenamesystem"] or None,
        "collected_at": (ADMITTED + timedelta(minutes=collected)).isoformat(),
        "recorded_at": (ADMITTED + timedelta(minutes=max(collected, revised))).isoformat(),
    }
