"""MEDS (Medical Event Data Standard) parquet as events, by a site's map of codes (contract, section 1).

MEDS says when something was, not when it became known, and has no units: `recorded_at` is the row's time, the unit is
the map's. A row's identity is a hash of all its fields. A row whose code the map does not name is not watched.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from monitor.events import AdministrationEvent, Event, LabEvent, PatientEvent
from streams.codes import Codes
from streams.logs import UnusableInput

_MAGIC: Final = b"PAR1"
_BATCH: Final = 1 << 16
_BIRTH: Final = "MEDS_BIRTH"
_BEGINNING: Final = "1900-01-01T00:00:00Z"
"""Since when that is known which has no time: MEDS keeps static facts without one."""
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


class _Names(NamedTuple):
    """How this file names its columns: older MEDS and its derivatives have other names."""

    subject: str
    time: str
    code: str
    value: str | None
    text: str | None


class Row(NamedTuple):
    """A row that the map names: its number from 1, the event that it states or why it states none, and its fields."""

    number: int
    event: Event | None
    fault: str
    data: bytes


def is_meds(source: str) -> bool:
    """Whether a file is parquet, by its first bytes."""
    if source == "-":
        return False
    try:
        with Path(source).open("rb") as file:
            return file.read(4) == _MAGIC
    except OSError:
        return False


def read_meds(source: str, codes: Codes, passed: Callable[[str, int], None]) -> Iterator[Row]:
    """The rows that the map names, in the file's order; `passed` takes each other code and its count.

    Raises UnusableInput for what is truncated, corrupt or not MEDS.
    """
    if not (codes.labs or codes.drugs):
        raise UnusableInput(f"{source}: MEDS needs --codes MAP.toml with the site's codes")
    first = 1
    for batch, names in _batches(source):
        yield from _rows(batch, names, first, codes, passed)
        first += batch.num_rows


def read_meds_codes(source: str, codes: Codes) -> Iterator[tuple[str, int]]:
    """The codes that the map does not name, with their counts, batch by batch. Raises UnusableInput as `read_meds`."""
    for batch, names in _batches(source):
        column = batch.column(names.code)
        yield from _others(column, _wanted(column, codes))


def _batches(source: str) -> Iterator[tuple[Any, _Names]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise UnusableInput(f"{source}: MEDS needs the extra: pip install 'cmvigil[meds]'") from None
    try:
        with pq.ParquetFile(source) as file:
            names = _columns(source, file.schema_arrow.names)
            text = file.schema_arrow.get_field_index(names.code)
            for batch in file.iter_batches(_BATCH):
                yield batch.set_column(text, names.code, batch.column(text).cast(pa.string())), names
    except (pa.ArrowException, OSError):
        raise UnusableInput(f"{source}: truncated or corrupt parquet") from None


def _wanted(column: Any, codes: Codes) -> Any:  # noqa: ANN401 - an extra without types
    """Which rows the map names; a row without a code is wanted too: it is to be rejected aloud."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.compute as pc  # noqa: PLC0415

    known = pa.array([*codes.labs, *codes.drugs, *codes.patients, _BIRTH])
    return pc.or_(pc.is_in(column, value_set=known), pc.is_null(column))


def _others(column: Any, wanted: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - an extra without types
    import pyarrow.compute as pc  # noqa: PLC0415 - an extra

    for one in pc.value_counts(column.filter(pc.invert(wanted))).to_pylist():
        yield one["values"], one["counts"]


def _columns(source: str, names: list[str]) -> _Names:
    def named(*choices: str) -> str | None:
        return next((name for name in choices if name in names), None)

    subject, time, code = named("subject_id", "patient_id"), named("time", "timestamp"), named("code")
    if subject is None or time is None or code is None:
        raise UnusableInput(f"{source}: not MEDS: subject_id, time and code are its columns")
    return _Names(subject, time, code, named("numeric_value", "value"), named("text_value"))


def _rows(
    batch: Any,  # noqa: ANN401 - an extra without types
    names: _Names,
    first: int,
    codes: Codes,
    passed: Callable[[str, int], None],
) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    column = batch.column(names.code)
    wanted = _wanted(column, codes)
    for code, count in _others(column, wanted):
        passed(code, count)
    kept = pa.Table.from_batches([batch]).append_column("#", pa.array(range(first, first + batch.num_rows)))
    kept = kept.filter(wanted)
    for index, field in enumerate(kept.schema):
        if pa.types.is_floating(field.type):
            # A float32 is meant as its shortest decimal: 1.2 and not 1.2000000476837158.
            kept = kept.set_column(index, field.name, kept.column(index).cast(pa.string()).cast(pa.float64()))
    for fields in kept.to_pylist():
        number = fields.pop("#")
        data = _encode(fields)
        try:
            yield Row(number, _event(fields, data, names, codes), "", data)
        except ValueError as error:
            yield Row(number, None, str(error), data)


def _event(fields: dict[str, Any], data: bytes, names: _Names, codes: Codes) -> Event:
    """What a row states. Raises ValueError with the reason for what states nothing."""
    code, subject = fields[names.code], fields[names.subject]
    if code is None:
        raise ValueError("code: missing")
    if subject is None:
        raise ValueError(f"{names.subject}: missing")
    event_id = f"meds-{hashlib.blake2b(data, digest_size=16).hexdigest()}"
    patient_id = str(subject)
    at = _time_text(fields[names.time], codes)
    value = fields[names.value] if names.value is not None else None
    if value is not None and math.isnan(value):
        value = None
    if value is not None and math.isinf(value):
        raise ValueError(f"{names.value}: infinite")
    if code in codes.patients or code == _BIRTH:
        return _person(code, event_id, patient_id, at, codes)
    if at is None:
        raise ValueError(f"{names.time}: missing")
    if code in codes.labs:
        text = fields[names.text] if names.text is not None and value is None else None
        return codes.translate(LabEvent(event_id, patient_id, at, code, at, value, result=text or None))
    return codes.translate(AdministrationEvent(event_id, patient_id, at, code, at, dose=value))


def _person(code: str, event_id: str, patient_id: str, at: str | None, codes: Codes) -> PatientEvent:
    said = codes.patients.get(code)
    birth = at[:10] if at is not None and (code == _BIRTH or (said is not None and said.birth)) else None
    recorded = _BEGINNING if at is None or birth is not None else at
    if said is None:
        return PatientEvent(event_id, patient_id, recorded, birth)
    return PatientEvent(
        event_id,
        patient_id,
        recorded,
        birth,
        said.sex,
        said.donor_cmv,
        said.recipient_cmv,
        said.transplant,
        at if said.transplant is not None else None,
        said.dialysis,
        said.hiv,
    )


def _time_text(time: datetime | None, codes: Codes) -> str | None:
    """A row's time in ISO 8601, moved by the map's days; MEDS times have no offset of their own."""
    if time is None:
        return None
    try:
        moved = time + timedelta(days=codes.meds.shift_days)
    except OverflowError:
        raise ValueError("time: outside 1900-2100") from None
    if moved.tzinfo is not None:
        return moved.astimezone(UTC).isoformat()
    return moved.isoformat() + codes.meds.offset
