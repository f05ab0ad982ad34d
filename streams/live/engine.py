"""The patients of some partitions as state bytes: what a message changes, what has become due, what is to be sent.

Knows nothing of Kafka. Nothing here waits, and nothing is durable until whoever drives it has written what `pack` gives
and has said so. An alert may be sent once the state that holds it is durable, and is dropped from it once sent.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from heapq import heappop, heappush
from time import perf_counter
from typing import Final, Literal

import msgspec

from monitor.actions import acts_on, known_at
from monitor.advance import advance, next_due, receive
from monitor.events import AdministrationEvent, Event, Gate, Rejected, is_utf8
from monitor.forgetting import alerts_of, forget
from monitor.identity import alert_id
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.reconciliation import Change
from monitor.rejudging import rejudge
from monitor.state import dump, load, peek, ruleset_mark
from monitor.times import ALWAYS, DAY, HOUR, NEVER, Time, TimeError, parse_time
from monitor.types import Dose, Fact, Fold, Lab
from streams.codes import Codes
from streams.decoding import decode_document
from streams.live.canaries import is_canary
from streams.live.messages import Forget, Packed, Refused, Step, Tombstone, asked_to_forget, marker_of
from streams.live.metrics import Meters

Mode = Literal["wall", "event"]

CLOCK: Final = b"\x00clock"
"""Key of the record that keeps a partition's last clock markers; no patient's, whose id may not begin so."""
AHEAD: Final = 24 * HOUR
"""A recording further ahead of the wall is refused; by the events' clock, whose days may be made up, none is."""
TOMBSTONE_AFTER: Final = 30 * DAY
"""How long a closed alert stays in the compacted topic."""
UNCHARTED: Final = b'"uncharted":true'
"""Stands in an administration from a source that charts no amounts (MEDS): without a dose it counts as given."""
CACHED: Final = 5_000
"""Patients awake; the others wait as bytes."""
SCANNED_AT_ONCE: Final = 200
"""Recovered patients looked at in one tick: a change of ruleset is spread out."""

_TOMBSTONE: Final = b"T"
_CLOSED: Final = frozenset(("resolved", "retracted"))
_ACTED: Final = frozenset(("acknowledged", "snoozed", "overridden"))


class _Sent(msgspec.Struct):
    alert_id: str
    state: str


class _Live(msgspec.Struct, gc=False, eq=False):
    """A patient awake, with what is to be sent and which closed alerts are to leave the topic when."""

    patient: Patient
    partition: int
    sends: list[bytes]
    announced: int
    tombstones: dict[str, Time]
    canary: bool


class _Part(msgspec.Struct):
    """What is known of one partition."""

    markers: dict[str, Time] = {}
    seen: dict[str, Time] = {}
    behind: set[str] = set()
    due: list[tuple[Time, bytes]] = []
    tombstones: list[tuple[Time, bytes, str]] = []
    unscanned: deque[bytes] = msgspec.field(default_factory=deque)


_markers: Final = msgspec.json.Decoder(dict[str, Time])
_sent: Final = msgspec.json.Decoder(_Sent)
_native: Final = msgspec.json.Decoder(Event)
_encode: Final = msgspec.json.Encoder().encode


class Engine:
    """All patients of the partitions that one worker has."""

    def __init__(
        self,
        plan: Plan,
        codes: Codes,
        states: MutableMapping[bytes, bytes],
        inputs: Iterable[str],
        *,
        mode: Mode,
        wall: Callable[[], Time],
        meters: Meters,
        cached: int = CACHED,
    ) -> None:
        """Reads and writes `states`, which whoever drives this has recovered; `wall` is the time of day."""
        self.plan = plan
        self.dirty: dict[bytes, int] = {}
        """Keys whose state differs from what was last packed, with their partition."""
        self._codes = codes
        self._states = states
        self._inputs = frozenset(inputs)
        self._mode = mode
        self._wall = wall
        self._meters = meters
        self._cached = cached
        self._gate = Gate(plan)
        self._mark = ruleset_mark(plan)
        self._lives: OrderedDict[bytes, _Live] = OrderedDict()
        self._parts: dict[int, _Part] = {}
        self._due_of: dict[bytes, Time] = {}
        self._open_of: dict[bytes, Counter[tuple[str, str]]] = {}
        self._canaries: set[bytes] = set()
        self._day_of: dict[bytes, int] = {}
        self._unjudged_of: dict[bytes, set[tuple[str, str]]] = {}
        """What was counted as unjudged of each patient, whether awake or asleep."""
        meters.expect_codes((rule.code, severity) for rule in plan.rules for severity in rule.severities if severity)

    # Partitions --------------------------------------------------------------------------------------------------

    @property
    def partitions(self) -> list[int]:
        """Those assigned."""
        return list(self._parts)

    def assign(self, partition: int, keys: Iterable[bytes], behind: Iterable[str] = ()) -> None:
        """Takes over a partition with the keys whose states were recovered.

        `behind` are the input topics of which more is to be read: until `caught_up`, the clock is what was read.
        Raises StateError for states of a newer version.
        """
        part = self._parts[partition] = _Part(behind=set(behind))
        for key in keys:
            if key.startswith(CLOCK):
                part.markers = _markers.decode(self._states[key])
                continue
            if is_canary(key):
                self._canaries.add(key)
            head = peek(self._states[key])
            if head.next_due != NEVER:
                self._schedule(part, key, head.next_due)
            if head.outbox or head.next_due != NEVER or head.ruleset != self._mark or head.older:
                part.unscanned.append(key)

    def forget(self) -> None:
        """Drops every partition and all that was not written: what was not durable will come again."""
        self.dirty.clear()
        self._lives.clear()
        self._parts.clear()
        self._due_of.clear()
        self._open_of.clear()
        self._canaries.clear()
        self._day_of.clear()
        self._unjudged_of.clear()
        self._meters.open_alerts(Counter())

    def caught_up(self, partition: int, topic: str) -> None:
        """Says that a topic was read to where it ended when the partition was assigned."""
        part = self._parts.get(partition)
        if part is not None:
            part.behind.discard(topic)

    def clock(self, partition: int) -> Time:
        """The time of a partition: its least marker, or the wall's; while behind, what was read."""
        part = self._parts[partition]
        if self._mode == "event":
            return min((part.markers.get(topic, ALWAYS) for topic in self._inputs), default=ALWAYS)
        return min((part.seen.get(topic, ALWAYS) for topic in part.behind), default=self._wall())

    # Messages ----------------------------------------------------------------------------------------------------

    def take(self, partition: int, topic: str, key: bytes | None, value: bytes | None) -> Step:
        """Takes in one message. Raises StateError where the patient's state cannot be read."""
        if value is None:
            return self._reject("value: missing", b"")
        if b'"clock"' in value and len(value) < 256:
            marker = marker_of(value)
            if marker is not None:
                return Step(self._advance_clock(partition, topic, marker), [])
        if b'"forget"' in value and len(value) < 4096:
            asked = asked_to_forget(value)
            if asked is not None:
                return self._erase(partition, key, asked, value)
        refused: list[Refused] = []
        events: list[Event] = []
        facts: list[Fact] = []
        part = self._parts[partition]
        canary = key is not None and is_canary(key)
        meters = self._meters
        started = perf_counter()
        for event, data in self._events(value, refused):
            try:
                fact = self._admit(event, key, uncharted=UNCHARTED in data)
            except Rejected as error:
                refused.append(Refused(str(error), data))
                meters.rejected(event, str(error))
                continue
            recorded = self._gate.times.get(event.recorded_at, ALWAYS)
            part.seen[topic] = max(part.seen.get(topic, ALWAYS), recorded)
            if fact is None:
                meters.unwatched(event)
                continue
            events.append(event)
            facts.append(fact)
            if isinstance(fact, Lab | Dose) and fact.at > ALWAYS and not canary:
                meters.laboratory_lag.observe(max(0, recorded - fact.at) / 1e6)
        self._gate.trim()
        decoded = perf_counter()
        meters.decoding.observe(decoded - started)
        if not facts or key is None:
            return Step([], refused)
        live = self._live(partition, key)
        late = receive(live.patient, facts)
        refused += [Refused("too-late: before the history that is kept", value) for _ in late]
        if not canary:
            for event, fact in zip(events, facts, strict=True):
                meters.count(event, "rejected" if late and any(one is fact for one in late) else "taken")
        self._run(live, key, self.clock(partition))
        meters.judging.observe(perf_counter() - decoded)
        day = max(fact.recorded for fact in facts) // DAY
        if live.patient.folds and not canary and day > self._day_of.get(key, 0):
            self._day_of[key] = day
            meters.patient_days.inc()
        return Step([key], refused)

    def _erase(self, partition: int, key: bytes | None, asked: Forget, value: bytes) -> Step:
        """Forgets a patient: here at once; for good once `erased` is called and what `pack` then gives is durable."""
        try:
            until = parse_time(asked.recorded_at)
        except TimeError as error:
            return self._reject(f"recorded_at: {error}", value)
        if key is None or asked.patient_id.encode() != key:
            return self._reject("key: is not the patient_id", value)
        if self._mode == "wall" and until > self._wall() + AHEAD:
            return self._reject("recorded_at: more than 24 h ahead of the clock", value)
        told = None if is_canary(key) else _encode(asked)
        if key not in self._lives and key not in self._states:
            return Step([], [], told=told)
        live = self._live(partition, key)
        p = live.patient
        left = forget(p, until)
        if left is p:
            return Step([], [])
        if not live.canary:
            self._meters.forgotten.inc()
        buried = sorted({*alerts_of(p), *live.tombstones})
        self.dirty.pop(key, None)
        self._due_of.pop(key, None)
        self._states.pop(key, None)
        self._canaries.discard(key)
        self._day_of.pop(key, None)
        self._unjudged_of.pop(key, None)
        del self._lives[key]
        self._count_open({}, key)
        if left is not None:
            self._lives[key] = _Live(left, partition, [], 0, {}, live.canary)
        return Step([key], [], buried, told)

    def erased(self, partition: int, key: bytes) -> None:
        """Says that the alerts of a patient to be forgotten have left the compacted topic: now the state may go."""
        self.dirty[key] = partition
        live = self._lives.get(key)
        if live is not None:
            self._run(live, key, self.clock(partition))

    def _reject(self, reason: str, data: bytes) -> Step:
        self._meters.rejected(None, reason)
        return Step([], [Refused(reason, data)])

    def _events(self, value: bytes, refused: list[Refused]) -> Iterable[tuple[Event, bytes]]:
        try:
            event = _native.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if is_utf8(value):
                return ((event, value),)

        def reject(_line: int | None, _entry: int | None, reason: str, data: bytes) -> None:
            refused.append(Refused(reason, bytes(data)))
            self._meters.rejected(None, reason)

        def passed(what: str) -> None:
            self._meters.unwatched(None, what)

        found = decode_document(value, 1, self.plan, reject, passed, self._codes)
        return [(one.event, bytes(one.data)) for one in found]

    def _admit(self, event: Event, key: bytes | None, *, uncharted: bool) -> Fact | None:
        if key is None or event.patient_id.encode() != key:
            raise Rejected("key: is not the patient_id")
        if key.startswith(b"\x00"):
            raise Rejected("patient_id: begins with a control character")
        if uncharted and isinstance(event, AdministrationEvent):
            fact: Fact | None = self._gate.admit_uncharted(event)
        else:
            fact = self._gate.admit(self._codes.translate(event))
        recorded = self._gate.times.get(event.recorded_at)
        if recorded is not None and self._mode == "wall" and recorded > self._wall() + AHEAD:
            raise Rejected("recorded_at: more than 24 h ahead of the clock")
        return fact

    # Time --------------------------------------------------------------------------------------------------------

    def _advance_clock(self, partition: int, topic: str, time: Time) -> list[bytes]:
        if self._mode == "wall" or topic not in self._inputs:
            return []
        part = self._parts[partition]
        if time <= part.markers.get(topic, ALWAYS):
            return list(self.dirty)
        part.markers[topic] = time
        key = CLOCK + b"/%d" % partition
        self.dirty[key] = partition
        self.tick(partition)
        # The marker is taken once all that it made due is written, and whatever was waiting to be.
        return list(self.dirty)

    def tick(self, partition: int) -> list[Tombstone]:
        """Judges who has become due, and looks at some of the recovered. Returns closed alerts to be let go."""
        part = self._parts[partition]
        now = self.clock(partition)
        for _ in range(min(SCANNED_AT_ONCE, len(part.unscanned))):
            self._live(partition, part.unscanned.popleft())
        due = part.due
        while due and due[0][0] <= now:
            at, key = heappop(due)
            if self._due_of.get(key) != at:
                continue
            del self._due_of[key]
            self._meters.due_delay.observe(max(0, self._wall() - at) / 1e6 if self._mode == "wall" else 0)
            self._run(self._live(partition, key), key, now)
        gone = []
        while part.tombstones and part.tombstones[0][0] <= now:
            at, key, alert_id = heappop(part.tombstones)
            live = self._live(partition, key)
            if live.tombstones.get(alert_id) == at:
                gone.append(Tombstone(key, alert_id))
        return gone

    def _run(self, live: _Live, key: bytes, now: Time) -> None:
        self._say(live, key, advance(live.patient, now))
        self._changed(live, key)

    def _say(self, live: _Live, key: bytes, changes: list[Change]) -> None:
        part = self._parts[live.partition]
        for change in sorted(changes):
            alert = change.alert
            live.sends.append(_encode(alert))
            if not live.canary:
                self._meters.changes.labels(alert.code, alert.status, alert.severity).inc()
            if alert.status in _ACTED and not live.canary:
                self._count_action(live.patient, change)
            if alert.state in _CLOSED:
                at = live.tombstones[alert.alert_id] = change.emitted + TOMBSTONE_AFTER
                heappush(part.tombstones, (at, key, alert.alert_id))
            else:
                live.tombstones.pop(alert.alert_id, None)

    def _changed(self, live: _Live, key: bytes) -> None:
        self.dirty[key] = live.partition
        following = next_due(live.patient)
        if following == NEVER:
            self._due_of.pop(key, None)
        else:
            self._schedule(self._parts[live.partition], key, following)

    def _schedule(self, part: _Part, key: bytes, at: Time) -> None:
        if self._due_of.get(key) != at:
            self._due_of[key] = at
            heappush(part.due, (at, key))

    # Patients ----------------------------------------------------------------------------------------------------

    def _live(self, partition: int, key: bytes) -> _Live:
        live = self._lives.get(key)
        if live is not None:
            self._lives.move_to_end(key)
            return live
        data = self._states.get(key)
        if data is None:
            live = self._lives[key] = _Live(Patient(self.plan, key.decode()), partition, [], 0, {}, is_canary(key))
            return live
        loaded = load(self.plan, key.decode(), data)
        p = loaded.patient
        live = self._lives[key] = _Live(p, partition, [], 0, {}, is_canary(key))
        for one in p.outbox:
            if one.startswith(_TOMBSTONE):
                at, alert_id = int.from_bytes(one[1:9], "big", signed=True), one[9:].decode()
                live.tombstones[alert_id] = at
                heappush(self._parts[partition].tombstones, (at, key, alert_id))
            else:
                live.sends.append(one)
        if live.sends or loaded.older:
            # Durable, but perhaps not sent, or of an older version: a write hands them over again, in this one.
            self.dirty[key] = partition
        if loaded.stale:
            self._say(live, key, rejudge(p, max(p.clock, self.clock(partition))))
            self._changed(live, key)
        self._count_open(live.patient.folds, key)
        return live

    def pack(self, key: bytes) -> Packed:
        """The state of a key to be written now, which is kept as such; it is no longer dirty."""
        partition = self.dirty.pop(key)
        if key.startswith(CLOCK):
            state = self._states[key] = _encode(self._parts[partition].markers)
            return Packed(state, [])
        live = self._lives.get(key)
        if live is None:
            return Packed(None, [])  # forgotten, and nothing came since
        p = live.patient
        p.outbox = [*live.sends, *(_tombstone(at, alert_id) for alert_id, at in sorted(live.tombstones.items()))]
        state = self._states[key] = dump(p)
        if live.canary:
            self._canaries.add(key)
        self._meters.state_bytes.observe(len(state))
        self._count_open(live.patient.folds, key)
        self._count_unjudged(live, key)
        sends = live.sends[live.announced :]
        live.announced = len(live.sends)
        return Packed(state, sends)

    def sent(self, key: bytes, change: bytes) -> None:
        """Says that a change was acknowledged by the broker: the next write leaves it out."""
        live = self._lives.get(key)
        if live is not None and change in live.sends:
            live.sends.remove(change)
            live.announced -= 1
            self.dirty[key] = live.partition

    def write_anew(self, partition: int, key: bytes) -> None:
        """Has a state written again as it was recovered: what stands after it in the changelog does not count."""
        if not key.startswith(CLOCK):
            self._live(partition, key)
        self.dirty[key] = partition

    def let_go(self, gone: Tombstone) -> None:
        """Says that a closed alert has left the compacted topic."""
        live = self._lives.get(gone.key)
        if live is not None and live.tombstones.pop(gone.alert_id, None) is not None:
            self.dirty[gone.key] = live.partition

    def trim(self) -> None:
        """Puts the patients to sleep who were not heard of for longest, if there are too many awake."""
        while len(self._lives) > self._cached:
            key, live = self._lives.popitem(last=False)
            if key in self.dirty or live.sends:
                self._lives[key] = live
                return

    def outbox_depth(self) -> int:
        """How many changes wait to be sent or for an acknowledgment."""
        return sum(len(live.sends) for live in self._lives.values() if live.sends)

    def __len__(self) -> int:
        return len(self._states) - len(self._canaries)

    def _count_action(self, p: Patient, change: Change) -> None:
        alert = change.alert
        for fold in p.folds.values():
            for episode in fold.episodes if fold.rule.code == alert.code else ():
                if alert_id(p.id, fold.rule, episode) != alert.alert_id:
                    continue
                raised = known_at(p, fold, episode.onset)
                self._meters.acted.labels(alert.severity, alert.status).observe(max(0, change.emitted - raised) / 1e6)
                if alert.status == "overridden":
                    self._meters.overridden(alert.code, acts_on(p, fold, episode)[-1].reason)

    def _count_unjudged(self, live: _Live, key: bytes) -> None:
        found = () if live.canary else live.patient.unjudged()
        if found:
            counted = self._unjudged_of.setdefault(key, set())
            for one in found:
                if one not in counted:
                    counted.add(one)
                    self._meters.unjudged.labels(*one).inc()

    def _count_open(self, folds: Mapping[int, Fold], key: bytes) -> None:
        now: Counter[tuple[str, str]] = Counter()
        for fold in () if is_canary(key) else folds.values():
            for said in fold.said.values():
                if said.state not in _CLOSED:
                    now[fold.rule.code, said.severity] += 1
        before = self._open_of.get(key)
        if before == now or (before is None and not now):
            return
        if now:
            self._open_of[key] = now
        else:
            self._open_of.pop(key, None)
        delta = Counter(now)
        delta.subtract(before or {})
        self._meters.add_open(delta)


def alert_id_of(change: bytes) -> str:
    """The id of an alert as it is sent."""
    return _sent.decode(change).alert_id


def _tombstone(at: Time, alert_id: str) -> bytes:
    return _TOMBSTONE + at.to_bytes(8, "big", signed=True) + alert_id.encode()
