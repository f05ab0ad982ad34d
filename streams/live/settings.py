"""Settings of the live programs: command line over environment (`CMVIGIL_*`) over a TOML file over defaults.

What is mistyped is refused by its name, in the environment too; secrets come from files or the environment, and are
never shown.
"""

import ipaddress
import os
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

PREFIX: Final = "CMVIGIL_"
_TESTS: Final = (
    "LIVE",
    "HISTORIES",
    "KAFKA_HOME",
    "KILLS",
    "GOLDEN",
    "MUTANTS",
    "FUZZ_SECONDS",
    "JOBS",
    "WATCH",
    "CHOSEN",
)
SHORTEST_RETENTION_HOURS: Final = 24
"""What is there to be read by people, or by a deliverer that may be down, is kept for a day at least."""
OWN: Final = frozenset(("CMVIGIL_CONFIG", *(f"CMVIGIL_{name}" for name in _TESTS)))
"""Variables that are no settings, most of them of the tests."""


class SettingsError(ValueError):
    """Settings that cannot be used. Names the setting, and never its value."""


def _long_enough(hours: int) -> int:
    if 0 <= hours < SHORTEST_RETENTION_HOURS:
        raise ValueError(f"less than {SHORTEST_RETENTION_HOURS}: nobody may have read it by then; -1 is forever")
    return hours


RetentionHours = Annotated[int, Field(ge=-1), AfterValidator(_long_enough)]
"""Hours since a record arrived; -1: forever."""


class Settings(BaseModel):
    """Where Kafka is, how it is spoken to, and how a worker runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = ""
    partitions: Annotated[int, Field(ge=1, le=1000)] = 8
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    min_insync_replicas: Annotated[int, Field(ge=1, le=10)] = 1
    retention_hours: RetentionHours = -1
    """How long inputs are kept, in hours since they arrived; -1: forever."""
    alert_log_retention_hours: RetentionHours = -1
    """How long what was said is kept, likewise, in `alert-log`: longer than a deliverer or a reader may be down."""
    audit_log_retention_hours: RetentionHours = -1
    dead_letters_retention_hours: RetentionHours = -1

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    allow_plaintext_sasl: bool = False

    clock: Literal["wall", "event"] = "wall"
    knowledge: tuple[Path, ...] = ()
    codes: Path | None = None
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8002
    http_token_file: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    ready_lag: Annotated[int, Field(ge=0)] = 10_000
    """Messages not taken, above which a worker is not ready."""
    tick_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    session_timeout_seconds: Annotated[float, Field(ge=6, le=300)] = 30.0

    audit_key_file: Path | None = None
    """A secret that the hashes of patients in audit records are made with."""
    canary_port: Annotated[int, Field(ge=0, le=65535)] = 8003
    canary_seconds: Annotated[float, Field(ge=1)] = 3600.0
    """From one round of the canary to the next."""
    override_reasons: tuple[str, ...] = (
        "will monitor",
        "benefit outweighs risk",
        "already treated",
        "not relevant",
        "wrong data",
    )
    """What reasons of overrides begin with that `cmvigil_overrides_total` tells apart."""
    canary_wait_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long a canary's alerts may take, above which the round has failed."""

    @field_validator("override_reasons", mode="before")
    @classmethod
    def _beginnings(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("knowledge", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        sasl = self.security_protocol.startswith("SASL")
        if self.security_protocol == "SASL_PLAINTEXT" and not self.allow_plaintext_sasl:
            raise ValueError("security_protocol: SASL without TLS shows the login; allow_plaintext_sasl permits it")
        if sasl and self.sasl_username is None:
            raise ValueError("sasl_username: missing")
        if sasl and (self.sasl_password is None) == (self.sasl_password_file is None):
            raise ValueError("sasl_password, sasl_password_file: exactly one of them is needed")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile: without ssl_certfile")
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError("min_insync_replicas: more than replication_factor")
        if not is_loopback(self.http_host) and self.http_token_file is None:
            raise ValueError("http_host: beyond loopback http_token_file is needed")
        return self

    def topic(self, name: str) -> str:
        """The name of a topic on the broker."""
        return self.topic_prefix + name

    def password(self) -> str | None:
        """The password of SASL. Raises SettingsError where its file cannot be read."""
        if self.sasl_password_file is not None:
            return read_secret(self.sasl_password_file, "sasl_password_file")
        return None if self.sasl_password is None else self.sasl_password.get_secret_value()

    def audit_key(self) -> str | None:
        """What audit records hide patients with. Raises SettingsError where its file cannot be read or is too short."""
        return None if self.audit_key_file is None else _long_secret(self.audit_key_file, "audit_key_file")

    def http_token(self) -> str | None:
        """What the pages ask for. Raises SettingsError where its file cannot be read or is too short."""
        return None if self.http_token_file is None else _long_secret(self.http_token_file, "http_token_file")


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(
    path: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: object
) -> Settings:
    """The settings of a worker, and of what makes or fills its topics: see `load`."""
    return load(Settings, path, environment, **overrides)


def load(
    kind: type[SettingsT], path: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: object
) -> SettingsT:
    """The settings of a program. `overrides` that are None are not given.

    Raises SettingsError for a file that is missing or no TOML, an unknown name, a value out of range.
    """
    given = _file(path) | _environment(os.environ if environment is None else environment, kind)
    given |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise SettingsError("; ".join(map(_fault, error.errors(include_input=False, include_url=False)))) from None


def kafka_options(settings: Settings) -> dict[str, object]:
    """How kafka-python's clients reach the broker.

    Raises SettingsError where a file that is named for this cannot be read or holds something else.
    """
    options: dict[str, object] = {
        "bootstrap_servers": [one.strip() for one in settings.bootstrap_servers.split(",")],
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        _check_tls(settings)
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            value = getattr(settings, name)
            if value is not None:
                options[name] = str(value)
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.password(),
        }
    return options


def _file(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"settings file: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file: no TOML ({type(error).__name__})") from None


def _environment(environment: Mapping[str, str], kind: type[Settings]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in OWN:
            setting = name.removeprefix(PREFIX).lower()
            if setting not in kind.model_fields:
                raise SettingsError(f"{name}: no such setting")
            found[setting] = value
    return found


def _fault(error: Mapping[str, object]) -> str:
    place = error["loc"]
    name = ".".join(map(str, place)) if isinstance(place, tuple) else ""
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _check_tls(settings: Settings) -> None:
    """The client would open these files when it connects, and its fault would look like the broker's."""
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path: Path | None = getattr(settings, name)
        if path is not None:
            _read(path, name)
    context = ssl.create_default_context()
    if settings.ssl_cafile is not None:
        try:
            context.load_verify_locations(settings.ssl_cafile)
        except ssl.SSLError:
            raise SettingsError("ssl_cafile: no certificates in PEM") from None
    if settings.ssl_certfile is not None:
        try:
            # A key behind a password would be asked for on the terminal.
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password="")
        except ssl.SSLError:
            raise SettingsError("ssl_certfile, ssl_keyfile: no certificate in PEM with its key") from None


def read_secret(path: Path, name: str) -> str:
    """What a file of a secret holds. Raises SettingsError, naming the setting, where it cannot be read or is empty."""
    secret = _read(path, name).strip()
    if not secret:
        raise SettingsError(f"{name}: empty")
    return secret


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{name}: cannot be read") from None


def _long_secret(path: Path, name: str) -> str:
    secret = read_secret(path, name)
    if len(secret) < 16:
        raise SettingsError(f"{name}: fewer than 16 characters")
    return secret


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and no other."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
