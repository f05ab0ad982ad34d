"""The hospital's record of one patient: events as the contract has them (section 1), numbered in the order written."""

from typing import Final

from streams.simulation.clock import iso

Event = dict[str, object]
"""A native event, or a FHIR resource: an object of JSON."""


def rounded(value: float, decimals: int) -> float | int:
    """A number as a report prints it: so many decimals, and none as a whole number."""
    text = f"{value:.{decimals}f}"
    number = float(text)
    return int(number) if number == int(number) else number


class Record:
    """Writes events down. Nothing here is hidden: it is what the monitor will see."""

    def __init__(self, patient_id: str, end: int) -> None:
        """Starts empty; nothing is known at or after `end`."""
        self.patient_id: Final = patient_id
        self.end: Final = end
        self.events: list[tuple[int, Event]] = []
        self._count = 0

    def new_id(self, kind: str) -> str:
        """An id of this patient that was never used before."""
        self._count += 1
        return f"{self.patient_id}-{kind}{self._count}"

    def write(self, kind: str, event_id: str, recorded: int, fields: Event) -> None:
        """Adds an event, unless it became known only after the log's end."""
        if recorded >= self.end:
            return
        event: Event = {"type": kind, "event_id": event_id, "patient_id": self.patient_id}
        event.update(fields)
        event["recorded_at"] = iso(recorded)
        self.events.append((recorded, event))

    def in_order(self) -> list[Event]:
        """Every event, by `recorded_at` and id; of one id and time in the order written."""
        rows = sorted(enumerate(self.events), key=lambda row: (row[1][0], row[1][1]["event_id"], row[0]))
        return [event for _, (_, event) in rows]
