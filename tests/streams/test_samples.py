"""Every real sample in ../shared/data through `cmvigil replay`: what is taken, and what is rejected for what reason.

Parquet and CSV are read by their maps (tests/streams/test_meds.py, test_codes.py).
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.exists(), reason="needs the samples in ../shared, which are not in this repository"),
]

NO_EVENT = (0, 0, {"type: missing": 1})
SAMPLES = {
    "cds-hooks-examples/cdshooks-request-order-sign-good.json": NO_EVENT,
    "cds-hooks-examples/cdshooks-request-patient-view-bad.json": NO_EVENT,
    "cds-hooks-examples/cdshooks-request-patient-view-good.json": NO_EVENT,
    "cds-hooks-examples/cdshooks-response-good.json": NO_EVENT,
    "cds-hooks-examples/cdshooks-response-source-link.json": NO_EVENT,
    "cds-hooks-examples/cdshooks-response-suggestion.json": NO_EVENT,
    "cds-hooks-examples/cdshooks-response-two-cards.json": NO_EVENT,
    "cds-hooks-examples/cdshooks-services-good.json": NO_EVENT,
    "fhir-r4-examples/detectedissue-example.json": (1, 1, {}),
    "fhir-r4-examples/flag-example.json": (1, 1, {}),
    "fhir-r4-examples/medicationadministration0301.json": (1, 1, {}),
    "fhir-r4-examples/medicationrequest0301.json": (1, 1, {}),
    "fhir-r4-examples/observation-example.json": (0, 0, {"effectiveDateTime: no offset": 1}),
    "fhir-r4-examples/subscription-example.json": (1, 1, {}),
    "hl7v2-cdc-corrected/elims_52_24095_04204575_5120.hl7": (0, 0, {"not JSON": 19}),
    "hl7v2-cdc-corrected/sample_AOE_1_20230220-0001.hl7": (0, 0, {"not JSON": 87}),
    "hl7v2-cdc-corrected/valid_hl7.hl7": (0, 0, {"not JSON": 95}),
    "hl7v2-google-hdh/oru_r01.hl7.fhir.input.json": NO_EVENT,
    "hl7v2-google-hdh/oru_r01.hl7.fhir.output.json": (22, 21, {}),
    "hl7v2-google-hdh/ras_o17.hl7.fhir.input.json": NO_EVENT,
    "hl7v2-google-hdh/ras_o17.hl7.fhir.output.json": (12, 11, {"medicationReference: not in the same Bundle": 1}),
    "hl7v2-google-hdh/rde_o11.hl7.fhir.input.json": NO_EVENT,
    "hl7v2-google-hdh/rde_o11.hl7.fhir.output.json": (14, 13, {}),
    "hl7v2-linuxforhealth/ORU-multiline-short-mixed.hl7": (0, 0, {"not JSON": 9}),
    "hl7v2-linuxforhealth/ORU-multiline-short.hl7": (0, 0, {"not JSON": 8}),
    "hl7v2-ms-fhir-converter/LAB-ORM-1.hl7": (0, 0, {"not JSON": 5}),
    "hl7v2-ms-fhir-converter/LAB-ORU-1.hl7": (0, 0, {"not JSON": 16}),
    "hl7v2-ms-fhir-converter/LAB-ORU-2.hl7": (0, 0, {"not JSON": 16}),
    "hl7v2-ms-fhir-converter/ORU-R01-01.hl7": (0, 0, {"not JSON": 29}),
    "hl7v2-ms-fhir-converter/ORU-R01-RMGEAD.hl7": (0, 0, {"not JSON": 4}),
    "hl7v2-ms-fhir-converter/RDE-O11-01.hl7": (0, 0, {"not JSON": 29}),
    "hl7v2-ms-fhir-converter/RDE-O11-02.hl7": (0, 0, {"not JSON": 30}),
    "hl7v2-ms-fhir-converter/RDE-O25-01.hl7": (0, 0, {"not JSON": 29}),
    "synthea-r4/Josue_Sipes_7d27f180-98d6-456d-98c0-d91df32cd023.json": (959, 863, {}),
    "synthea-r4/Vito_Feeney_63dd4423-56ec-4f40-9dd6-82bc133aaddc.json": (1244, 1118, {}),
}
"""Events and resources taken, how many of them no rule watches, and rejections by reason."""


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sample_is_taken_or_rejected_for_the_right_reason(tmp_path, name):
    rejects = tmp_path / "rejects"
    done = CliRunner().invoke(app, ["replay", str(DATA / name), "--json", "--rejects", str(rejects)])
    assert (done.exit_code, done.stdout) == (0, "")
    reasons = Counter(json.loads(line)["reason"] for line in rejects.read_bytes().splitlines())
    unwatched = re.search(r"(\d+) not watched", done.stderr)
    events = int(re.search(r"(\d+) events", done.stderr)[1])
    assert (events, int(unwatched[1]) if unwatched else 0, reasons) == SAMPLES[name]


def test_every_sample_is_listed():
    there = {str(path.relative_to(DATA)) for path in DATA.rglob("*") if path.suffix in (".json", ".hl7")}
    assert there == set(SAMPLES)
