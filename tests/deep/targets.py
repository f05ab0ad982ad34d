"""What must hold for any bytes given to a reader: a fact, an event that is ignored, or a typed rejection; nothing else.

Each target takes bytes and raises for what must not be. `seeds` are the inputs that a fuzzer begins with, and `NASTY`
those that a test gives every reader each time.
"""

import gzip
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import msgspec
import zstandard

from monitor.events import Gate, Rejected, decoder, reason_of
from monitor.types import Act, Dose, Lab, Person
from streams import logs
from streams.decoding import decode_block
from streams.fhir import Found, Refused, read_resource
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import read_log
from tests.monitor import case
from tests.streams import fhir_documents

ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
HUGE = 1 << 400
SMALL = {"BLOCK": 128, "LINE_LIMIT": 512, "_SIP": 16}
_SHARED_MEMORY = Path("/dev/shm")
_log = Path(tempfile.mkdtemp(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None)) / f"{os.getpid()}.log"


def judged(event) -> None:
    """The gate takes an event, ignores it, or says why it is none; what it takes is sane."""
    with suppress(Rejected):
        fact = Gate(case.plan()).admit(event)
        assert fact is None or isinstance(fact, Lab | Dose | Person | Act)
        assert not isinstance(fact, Lab) or abs(fact.canon) < HUGE


def native(data: bytes) -> None:
    """One native event."""
    event, why = None, ""
    try:
        event = decoder.decode(data)
    except ERRORS as error:
        why = reason_of(error)
    assert (event is None) == bool(why)
    if event is not None:
        judged(event)
        assert decoder.decode(msgspec.json.encode(event)) == event
    for one in decode_block(data) or ():
        judged(one)


def fhir(data: bytes) -> None:
    """One FHIR document. What is found could have come as a native event; a refusal points into the document."""
    found = list(read_resource(data, fhir_documents.PLAN))
    assert found
    for one in found:
        if isinstance(one, Found):
            assert decoder.decode(msgspec.json.encode(one.event)) == one.event
            judged(one.event)
        elif isinstance(one, Refused):
            assert one.reason
            assert one.data == data if one.entry is None else one.data in data
        else:
            assert one.what


def log(data: bytes) -> None:
    """A log as a file, plain or packed, to its end, or the whole of it is unusable.

    Once as it is read, and once in small blocks, so that events and lines too long lie across them.
    """
    _log.write_bytes(data)
    for sizes in ({}, SMALL):
        with (
            patch.multiple(logs, **sizes) if sizes else nullcontext(),
            Rejects(_log.with_suffix(".rejects")) as rejects,
            suppress(UnusableInput),
        ):
            read = read_log(case.plan(), [str(_log)], rejects)
            assert read.events >= sum(map(len, read.facts.values()))


TARGETS: dict[str, Callable[[bytes], None]] = {"native": native, "fhir": fhir, "log": log}

EVENTS = [
    case.patient(hiv=True, transplant="hct-allogeneic", transplant_at=case.when(case.ZERO)),
    case.lab("creatinine", 1.4, case.D),
    case.lab("cmv", 2.5, case.D, "{Log_IU}/mL", comparator="<", status="corrected"),
    case.lab("dipstick", "2+", case.D),
    case.dose("foscarnet", 90, case.D, "mg/kg", ended_at=case.D + timedelta(hours=2), indication="treatment"),
    case.dose("ganciclovir", 0, case.D, status="not-done"),
    case.action("0" * 16, "snooze", case.D, until=case.when(2 * case.D)),
]
RESOURCES = [
    fhir_documents.observation(),
    fhir_documents.observation(valueQuantity=None, valueString="Not detected (<137 IU/mL)"),
    fhir_documents.administration(),
    fhir_documents.bundle(fhir_documents.observation(), fhir_documents.administration()),
]


def seeds(target: str) -> Iterator[bytes]:
    """A short corpus, of this project's own making."""
    events = [json.dumps(one).encode() for one in EVENTS]
    resources = [json.dumps(one).encode() for one in RESOURCES]
    if target == "native":
        yield from events
    elif target == "fhir":
        yield from resources
    else:
        lines = b"\n".join(events)
        pretty = b"\n".join(json.dumps(one, indent=1).encode() for one in (*RESOURCES, EVENTS[1]))
        joined = b"".join(resources[:2]) + b"\n[" + b",".join(events) + b"]\r\n\xef\xbb\xbf" + events[0]
        yield from (lines, pretty, joined, gzip.compress(lines), zstandard.compress(lines), zstandard.compress(pretty))


def _with(event: dict[str, object], **changes: str) -> bytes:
    """An event with a field in raw JSON."""
    text = json.dumps(event | dict.fromkeys(changes, "?"))
    for name, raw in changes.items():
        text = text.replace(f'"{name}": "?"', f'"{name}": {raw}')
    return text.encode()


NUMBERS = ("1e305", "-1e305", "1.79e308", "5e-324", "-0.0", "1e400", "NaN", "9" * 400, "true", '"1"', "[]")
TIMES = tuple(
    f'"{text}"'
    for text in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-W01-1T00Z", r"\ud800", r"\u0000", "")
)
NASTY = {
    "nothing": b"",
    "zero": b"\x00",
    "mark": b"\xef\xbb\xbf",
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "many on a line": b"{}" * 2000,
    "many over lines": b"{\n}\n" * 500,
    "many that never end": b"{\n" * 5000,
    "half a character": b'{"type":"lab","event_id":"\xe2\x82',
    "surrogate": b'{"type":"lab","event_id":"\\ud800","patient_id":"p","recorded_at":"2026-01-01T00:00:00Z"}',
    "twice a key": b'{"type":"lab","type":"patient","event_id":"e","event_id":1}',
    "no resource": b'{"resourceType":"\\u0000"}',
    "kinds": b'{"resourceType":["Bundle"],"entry":{"resource":[]}}',
    "bundles in bundles": b'{"resourceType":"Bundle","entry":[{"resource":' * 2000,
    "gzip of nothing": b"\x1f\x8b",
    "gzip cut": gzip.compress(b"{}\n" * 9)[:-5],
    "zstd of nothing": b"\x28\xb5\x2f\xfd",
    "zstd with a tail": zstandard.compress(b"{}\n") + b"tail",
    "gzip of gzip": gzip.compress(gzip.compress(b"{}")),
    **{f"value {raw[:9]}": _with(EVENTS[1], value=raw) for raw in NUMBERS},
    **{f"dose {raw[:9]}": _with(EVENTS[4], dose=raw) for raw in NUMBERS},
    **{f"collected {raw}": _with(EVENTS[1], collected_at=raw) for raw in TIMES},
    **{f"born {raw}": _with(EVENTS[0], birth_date=raw) for raw in TIMES},
    **{
        f"quantity {raw[:9]}": json.dumps(RESOURCES[0]).replace("1.9", raw).encode() for raw in NUMBERS
    },
}  # fmt: skip
