"""Settings of `cmvigil deliver`: those of a worker's connection, where to deliver, and to whom next.

Sinks and escalation stand in the TOML file alone; secrets stand in files that it names.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streams.live.settings import RetentionHours, Settings, is_loopback, load, read_secret

Severity = Literal["info", "warning", "critical"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
STATEFUL: Final = frozenset(("alertmanager", "fhir", "fhir-topic"))
"""Kinds of sinks that keep one thing an alert: what was overtaken must not reach them late."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Sink(_Part):
    name: Name
    """What metrics and log lines call it; what is still to be delivered is kept under it."""
    least_severity: Severity = "info"
    """Alerts begin to be delivered at this severity; an alert once begun is told to its end."""


class _HttpSink(_Sink):
    url: str
    allow_http: bool = False
    token_file: Path | None = None
    """A bearer token."""
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    longest_wait_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """The most that lies between two attempts, where the sink itself does not ask for more."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 8
    """How many changes, of different alerts, are under way at a time."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            raise ValueError("url: not a URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ValueError("url: neither http:// nor https://")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url: no login belongs into it; name a token_file")
        if parts.scheme == "http" and not (is_loopback(parts.hostname) or self.allow_http):
            raise ValueError("url: alerts would go in the clear; https, or allow_http permits it")
        return self

    def token(self) -> str | None:
        """The bearer token. Raises SettingsError where its file cannot be read."""
        return None if self.token_file is None else read_secret(self.token_file, f"{self.name}: token_file")


class WebhookSink(_HttpSink):
    """Each change as JSON, signed (Standard Webhooks)."""

    kind: Literal["webhook"]
    secret_file: Path
    """One secret a line, `whsec_` and base64; several while one is replaced by another."""

    def secrets(self) -> list[str]:
        """The secrets. Raises SettingsError where their file cannot be read."""
        return read_secret(self.secret_file, f"{self.name}: secret_file").split()


class AlertmanagerSink(_HttpSink):
    """Prometheus Alertmanager: open alerts fire, others do not."""

    kind: Literal["alertmanager"]
    with_patient_id: bool = False
    with_text: bool = False
    """Title, detail and recommendation, which hold a patient's figures and dates."""
    resend_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    hold_minutes: Annotated[float, Field(gt=0, le=1440)] = 60.0
    """How long Alertmanager keeps what is open where nothing more is heard of it."""
    labels: dict[Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], str] = {}
    """More labels of a site's own, for its routes."""

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.hold_minutes * 60 < 3 * self.resend_seconds:
            raise ValueError("hold_minutes: less than three times resend_seconds")
        taken = {"alertname", "alert", "code", "severity", "drug", "patient_id"} & set(self.labels)
        if taken:
            raise ValueError(f"labels: {min(taken)} is cmvigil's own")
        return self


class _Fhir(_Part):
    references: Literal["literal", "logical"] = "logical"
    """literal: evidence is named as `Observation/ID`, which a server may demand to exist; logical: by identifier."""
    patient_system: str | None = None
    """The system of patient identifiers; the patient is then named by identifier, else as `Patient/ID`."""


class FhirSink(_HttpSink, _Fhir):
    """A FHIR R4 server: `PUT DetectedIssue/ID`, the same id for an alert's whole life."""

    kind: Literal["fhir"]
    conditional: bool = False
    """`PUT DetectedIssue?identifier=...`, for servers that give ids themselves."""


class FhirTopicSink(_Sink, _Fhir):
    """A compacted Kafka topic of DetectedIssue resources, keyed by the resource's id."""

    kind: Literal["fhir-topic"]
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,120}$")] = "detected-issues"
    retention_hours: RetentionHours = -1
    """How long the topic keeps what it is sent, in hours since it arrived; -1: forever."""
    at_once: Annotated[int, Field(ge=1, le=1000)] = 100
    longest_wait_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0


Sink = Annotated[WebhookSink | AlertmanagerSink | FhirSink | FhirTopicSink, Field(discriminator="kind")]


class Step(_Part):
    """To whom an alert goes that nobody has acted on."""

    sink: Name
    after_minutes: Annotated[float, Field(ge=0, le=10_080)]
    """Since the alert stood open, at the severity of escalation, in the deliverer's store."""


class DeliverySettings(Settings):
    """What `cmvigil deliver` is told, beyond how Kafka is reached."""

    http_port: Annotated[int, Field(ge=0, le=65535)] = 8004
    store: Path = Path("cmvigil-deliver.sqlite")
    """The file of what is still to be delivered. Patient data: put it where only the deliverer reads it."""
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "cmvigil-deliver"
    keep_days: Annotated[float, Field(ge=1, le=3650)] = 30.0
    """How long the ids of closed alerts are remembered, so that a repeat is known for one."""
    escalate_severities: tuple[Severity, ...] = ("critical",)
    sinks: tuple[Sink, ...] = ()
    escalation: tuple[Step, ...] = ()

    @field_validator("escalation")
    @classmethod
    def _in_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if any(one.after_minutes > two.after_minutes for one, two in pairwise(steps)):
            raise ValueError("after_minutes goes down along the chain")
        if len({one.sink for one in steps}) != len(steps):
            raise ValueError("a sink stands in it twice")
        return steps

    @model_validator(mode="after")
    def _delivers(self) -> Self:
        names = [one.name for one in self.sinks]
        if not names:
            raise ValueError("sinks: none is given")
        if len(set(names)) != len(names):
            raise ValueError("sinks: two have one name")
        kept: dict[str, int] = {}
        for one in (sink for sink in self.sinks if isinstance(sink, FhirTopicSink)):
            if kept.setdefault(one.topic, one.retention_hours) != one.retention_hours:
                raise ValueError(f"sinks: two give topic {one.topic} different retention_hours")
        unknown = [one.sink for one in self.escalation if one.sink not in names]
        if unknown:
            raise ValueError(f"escalation: there is no sink {unknown[0]}")
        if len(self.escalation) == len(names):
            raise ValueError("escalation: every sink waits for escalation, so none is told first")
        return self


def load_delivery(
    path: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: object
) -> DeliverySettings:
    """The settings of the deliverer, as `load_settings` reads a worker's. Raises SettingsError."""
    return load(DeliverySettings, path, environment, **overrides)


def waiting_sinks(settings: DeliverySettings) -> frozenset[str]:
    """The names of the sinks that are told only of what is escalated to them."""
    return frozenset(step.sink for step in settings.escalation)
