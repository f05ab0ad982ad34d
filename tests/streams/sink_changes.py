"""Changes of alerts for the tests of the sinks."""

import msgspec

from monitor.types import Alert, Evidence

MINUTE = 60_000_000


def change(seq=1, status="raised", state="open", severity="critical", **more):
    given = {
        "alert_id": "aki/foscarnet/-/41431dc20c98540f",
        "code": "aki",
        "patient_id": "mrn-0042",
        "drug": "foscarnet",
        "subject": None,
        "onset_at": "2026-01-27T05:13:00Z",
        "emitted_at": "2026-01-27T05:56:00Z",
        "title": "Foscarnet: creatinine 300 umol/L, KDIGO stage 3",
        "detail": "creatinine 300 umol/L collected 2026-01-27 05:13 UTC",
        "recommendation": "Stop foscarnet.",
        "evidence": [
            Evidence("L1", "2026-01-27T05:13:00Z", "creatinine 300 umol/L"),
            Evidence("Observation/o1#2160-0", "2026-01-26T05:13:00Z", ""),
            Evidence("MedicationAdministration/m1", "2026-01-26T23:11:00Z", "foscarnet 4300 mg iv"),
        ],
        "references": ["KDIGO 2012"],
        "reason": None,
        "supersedes": None,
        "ruleset": "default-abc",
    }
    return Alert(seq=seq, status=status, state=state, severity=severity, **(given | more))


def encoded(alert):
    return msgspec.json.encode(alert)
