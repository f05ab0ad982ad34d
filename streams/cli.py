"""The command line (contract, section 3). Heavy imports wait until a command needs them."""

import sys
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.live.settings import Settings, SettingsT

app = typer.Typer(
    name="cmvigil",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Watches over patients on antiviral therapy for cytomegalovirus, event by event.",
    epilog="Decision support for professionals; not a medical device. Exit status: 0 the command ran, whatever it"
    " found; 2 unusable arguments or input; 1 a failure of cmvigil itself.",
)

KnowledgeOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--knowledge",
        metavar="DIR_OR_FILE",
        help="A site's own knowledge (TOML), laid over the default key by key. May be given several times.",
    ),
]


def main() -> None:
    """The entry point `cmvigil`. What it writes is UTF-8; a terminal of fewer characters shows `?` for the others."""
    if isinstance(sys.stdout, TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")
    app()


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"cmvigil {version('cmvigil')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What stands before any command."""


CodesOption = Annotated[
    Path | None,
    typer.Option("--codes", metavar="MAP.toml", help="A site's map of its own codes to LOINC, drugs and units."),
]


@app.command()
def replay(
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG...",
            help="Logs: .ndjson, .jsonl, .json, each also .gz or .zst; .parquet (MEDS, with --codes); - is stdin.",
        ),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Alert changes as NDJSON on standard output, even on a terminal.")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Run the clock on, or stop it, at this ISO 8601 time with an offset (inclusive)."
        ),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each rejected input with its reason, as NDJSON.")
    ] = None,
    unjudged: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what could not be judged for want of data, as NDJSON.")
    ] = None,
    codes: CodesOption = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Judge patients in N processes; the same bytes come out. Pays from some 10 000 events of treated"
            " patients on (docs/large-logs.md).",
        ),
    ] = 1,
    knowledge: KnowledgeOption = None,
) -> None:
    """Run the monitor over logs and say what changed for whom.

    Events may stand in any order, late, twice, corrected or withdrawn: they are taken in the order of `recorded_at`,
    and due times fire at their moment. On a terminal a table is shown; into a pipe, or with --json, every change of an
    alert is one line of NDJSON.
    """
    from streams.commands.replay import run_replay  # noqa: PLC0415

    _exit(
        run_replay(
            logs,
            as_json=as_json,
            until=until,
            rejects_path=rejects,
            unjudged_path=unjudged,
            overlays=knowledge or [],
            codes_path=codes,
            jobs=jobs,
        )
    )


@app.command()
def explain(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="Logs, as for `cmvigil replay`.")],
    *,
    alert: Annotated[str, typer.Option(metavar="ID", help="The alert_id.")],
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Also what was known at this ISO 8601 time with an offset.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
    whole: Annotated[bool, typer.Option("--all", help="Every fact of the same kinds, of all times.")] = False,
    codes: CodesOption = None,
    knowledge: KnowledgeOption = None,
) -> None:
    """Show the whole case for one alert.

    What was said of it and why, its facts on a timeline, each figure with its threshold and margin, the source of every
    number, and with --as-of what was known then beside what is known now.
    """
    from streams.commands.explain import run_explain  # noqa: PLC0415

    status = run_explain(
        logs, alert=alert, as_of=as_of, as_json=as_json, whole=whole, codes_path=codes, overlays=knowledge or []
    )
    _exit(status)


@app.command()
def unmapped(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="Logs, as for `cmvigil replay`.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of NDJSON for each code and unit.")] = False,
    codes: CodesOption = None,
    knowledge: KnowledgeOption = None,
) -> None:
    """List the codes and units of logs that no rule knows, the most frequent first.

    From it a map for --codes can be written; given one, only what it leaves out is listed.
    """
    from streams.commands.unmapped import run_unmapped  # noqa: PLC0415

    _exit(run_unmapped(logs, as_json=as_json, codes_path=codes, overlays=knowledge or []))


@app.command()
def rules(
    code: Annotated[str | None, typer.Argument(help="One code, shown whole with every number and source.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that is known, as JSON.")] = False,
    as_page: Annotated[bool, typer.Option("--page", help="The documentation page docs/rules.md.")] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR_OR_FILE", help="Validate a site's own knowledge, and say what it changes or what is wrong."
        ),
    ] = None,
    knowledge: KnowledgeOption = None,
) -> None:
    """Show what the monitor knows: every code, threshold and schedule, each with its source."""
    from streams.commands.rules import run_rules  # noqa: PLC0415

    _exit(run_rules(code=code, as_json=as_json, as_page=as_page, check=check, overlays=knowledge or []))


@app.command()
def simulate(
    *,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 20,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days the log covers.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes, on any machine.")] = 1,
    fhir: Annotated[bool, typer.Option("--fhir", help="FHIR R4 resources instead of native events.")] = False,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what really happened to each patient, as NDJSON.")
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DATE", help="The day on which it begins.", show_default="2026-01-05"
        ),
    ] = None,
) -> None:
    """Write the log of a synthetic cohort to standard output.

    Kidneys decline and recover, marrow falls, virus decays, rebounds or resists; doses are given, held and late;
    results come late, twice, corrected or not at all. The log can be replayed; the truth says what the monitor should
    find.
    """
    from streams.commands.simulate import run_simulate  # noqa: PLC0415

    _exit(
        run_simulate(patients=patients, days=days, seed=seed, fhir=fhir, truth_path=truth, start=start and start.date())
    )


LogsArgument = Annotated[list[str], typer.Argument(metavar="LOG...", help="Logs, as for `cmvigil replay`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as JSON.")]


@app.command()
def evaluate(
    logs: LogsArgument,
    *,
    truth: Annotated[Path, typer.Option(metavar="FILE", help="What really happened: `cmvigil simulate --truth`.")],
    slack: Annotated[float, typer.Option(min=0, help="Hours by which an alert may miss what happened.")] = 48,
    as_json: JsonOption = False,
    knowledge: KnowledgeOption = None,
    codes: CodesOption = None,
) -> None:
    """Hold the alerts of a log against what really happened.

    Sensitivity, positive predictive value, lead time and alert burden by code, with 95 % intervals.
    """
    from streams.commands.evaluate import run_evaluate  # noqa: PLC0415

    _exit(
        run_evaluate(
            logs=logs, truth=truth, slack_hours=slack, as_json=as_json, overlays=knowledge or [], codes_path=codes
        )
    )


@app.command()
def compare(
    logs: LogsArgument,
    *,
    knowledge: Annotated[
        list[Path],
        typer.Option(
            "--knowledge",
            metavar="DIR_OR_FILE",
            help="Before and after. Given once, it is held against the default.",
        ),
    ],
    as_json: JsonOption = False,
    codes: CodesOption = None,
) -> None:
    """Say what a change of rules would have done to a log.

    Alerts gained, lost, earlier and later, severities, burden by code and by week, and patients to look at.
    """
    from streams.commands.compare import run_compare  # noqa: PLC0415

    _exit(run_compare(logs=logs, knowledge=knowledge, as_json=as_json, codes_path=codes))


@app.command()
def expect(
    logs: LogsArgument,
    *,
    job: Annotated[str, typer.Option(help="The job under which Prometheus scrapes the workers.")] = "cmvigil",
    as_json: JsonOption = False,
    knowledge: KnowledgeOption = None,
    codes: CodesOption = None,
) -> None:
    """Write how often each alert is to be expected, as Prometheus rules, from a site's own history.

    Raised per 100 watched patient-days, with 95 % intervals. CmvigilRulesSilent compares what workers raise to it.
    """
    from streams.commands.expect import run_expect  # noqa: PLC0415

    _exit(run_expect(logs=logs, job=job, as_json=as_json, overlays=knowledge or [], codes_path=codes))


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="CMVIGIL_CONFIG", metavar="FILE.toml", help="Settings of the live programs."),
]
BootstrapOption = Annotated[
    str | None, typer.Option("--bootstrap", metavar="HOST:PORT[,...]", help="Kafka brokers (default 127.0.0.1:9092).")
]
PrefixOption = Annotated[str | None, typer.Option("--prefix", help="What every topic's name begins with.")]


def _settings(config: Path | None, **overrides: object) -> "Settings":
    from streams.live.settings import load_settings  # noqa: PLC0415

    return _loaded(lambda: load_settings(config, None, **overrides))


def _loaded(load: "Callable[[], SettingsT]") -> "SettingsT":
    from streams.live.settings import SettingsError  # noqa: PLC0415

    try:
        return load()
    except SettingsError as error:
        typer.echo(f"cmvigil: {error}", err=True)
        _exit(2)


@app.command()
def topics(
    *,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    only_check: Annotated[bool, typer.Option("--check", help="Make nothing.")] = False,
) -> None:
    """Make the Kafka topics that are missing, and check the others.

    Each topic that is not as it is to be is named, with what to do. Exit status 2 then.
    """
    from streams.commands.topics import run_topics  # noqa: PLC0415

    settings = _settings(config, bootstrap_servers=bootstrap, topic_prefix=prefix)
    _exit(run_topics(settings, only_check=only_check))


@app.command()
def produce(
    logs: LogsArgument,
    *,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    speed: Annotated[
        float | None, typer.Option(min=1e-3, help="Times real time; as fast as possible where not given.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Where the last clock marker stands.")] = None,
    marker_seconds: Annotated[
        int, typer.Option(min=1, help="A clock marker for each span of so many seconds in which something happened.")
    ] = 60,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write inputs that are rejected here, with reason and bytes.")
    ] = None,
    knowledge: KnowledgeOption = None,
    codes: CodesOption = None,
) -> None:
    """Send a log into the topics, in order of recording, keyed by patient. Safe to repeat."""
    from streams.commands.produce import run_produce  # noqa: PLC0415

    settings = _settings(
        config, bootstrap_servers=bootstrap, topic_prefix=prefix, knowledge=knowledge or None, codes=codes
    )
    status = run_produce(settings, logs, speed=speed, until=until, marker_seconds=marker_seconds, rejects_path=rejects)
    _exit(status)


@app.command()
def worker(
    *,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    clock: Annotated[
        str | None, typer.Option(help="wall: the time of day. event: the clock markers that `produce` sends.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Of /healthz, /readyz and /metrics (default 8002).")] = None,
    knowledge: KnowledgeOption = None,
    codes: CodesOption = None,
) -> None:
    """Watch over patients live: Faust on Kafka. Run several for more speed; they share the patients."""
    from streams.commands.worker import run  # noqa: PLC0415

    settings = _settings(
        config,
        bootstrap_servers=bootstrap,
        topic_prefix=prefix,
        clock=clock,
        http_port=port,
        knowledge=knowledge or None,
        codes=codes,
    )
    _exit(run(settings))


@app.command()
def forget(
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="The patient_id; - reads it from standard input.")],
    *,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who asks for it, for the audit record.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the audit record.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is, and delete nothing.")] = False,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long workers may take.")] = 120,
    deliverer: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP", help="The `group` of `cmvigil deliver`, where it is not cmvigil-deliver."),
    ] = None,
    fhir_topic: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="The `topic` of a sink fhir-topic, where it is not detected-issues."),
    ] = None,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Delete one patient: state, alerts, what waits to be delivered, and FHIR resources in Kafka.

    Says what stays in topics that cannot delete by patient, and until when.
    """
    from streams.commands.forget import run_forget  # noqa: PLC0415

    settings = _settings(config, bootstrap_servers=bootstrap, topic_prefix=prefix)
    _exit(
        run_forget(
            settings,
            patient,
            by=by,
            reason=reason,
            dry_run=dry_run,
            wait=wait,
            deliverers=tuple(deliverer or ()),
            fhir_topics=tuple(fhir_topic or ()),
        )
    )


BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup: patient data, compressed.")]


@app.command()
def backup(
    path: BackupFile, *, config: ConfigOption = None, bootstrap: BootstrapOption = None, prefix: PrefixOption = None
) -> None:
    """Write the state of all patients, the alerts and what was said into a file, while workers run."""
    from streams.commands.backup import run_backup  # noqa: PLC0415

    _exit(run_backup(_settings(config, bootstrap_servers=bootstrap, topic_prefix=prefix), path))


@app.command()
def restore(
    path: BackupFile, *, config: ConfigOption = None, bootstrap: BootstrapOption = None, prefix: PrefixOption = None
) -> None:
    """Write a backup into empty topics, and set from where workers read on. Stop them all first."""
    from streams.commands.backup import run_restore  # noqa: PLC0415

    _exit(run_restore(_settings(config, bootstrap_servers=bootstrap, topic_prefix=prefix), path))


@app.command()
def canary(
    *,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="One round, then the exit status: 1 where an alert stayed away.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Of /healthz, /readyz and /metrics (default 8003).")] = None,
    knowledge: KnowledgeOption = None,
) -> None:
    """Prove each hour that alerts come: a made-up patient on every partition, who is in no clinical view."""
    from streams.commands.canary import run_canary  # noqa: PLC0415

    settings = _settings(
        config, bootstrap_servers=bootstrap, topic_prefix=prefix, canary_port=port, knowledge=knowledge or None
    )
    _exit(run_canary(settings, once=once))


@app.command()
def deliver(
    *,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    store: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is still to be delivered (default cmvigil-deliver.sqlite)."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Of /healthz, /readyz and /metrics (default 8004).")] = None,
    list_refused: Annotated[
        bool, typer.Option("--refused", help="List what sinks refused, as NDJSON, and deliver nothing.")
    ] = False,
    retry_refused: Annotated[
        bool, typer.Option("--retry-refused", help="Put what was refused in line again, and end.")
    ] = False,
    drop_sink: Annotated[
        str | None, typer.Option(metavar="NAME", help="Forget a sink that is no longer set, with what waits for it.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete the patient whose id is on standard input from the store, and end.")
    ] = False,
) -> None:
    """Deliver every change of an alert: webhooks, Alertmanager, FHIR; and to the next one where nobody acts.

    The sinks stand in the file of --config (docs/sinks.md). What is taken is kept in the store until it is delivered.
    """
    from streams.commands import deliver as command  # noqa: PLC0415
    from streams.sinks.settings import load_delivery  # noqa: PLC0415

    given = {"bootstrap_servers": bootstrap, "topic_prefix": prefix, "store": store, "http_port": port}
    settings = _loaded(lambda: load_delivery(config, None, **given))
    if list_refused:
        _exit(command.list_refused(settings))
    if retry_refused:
        _exit(command.put_in_line(settings))
    if drop_sink is not None:
        _exit(command.forget_sink(settings, drop_sink))
    if forget:
        _exit(command.forget_patient(settings, sys.stdin.read().strip()))
    _exit(command.run(settings))


def _exit(status: int) -> NoReturn:
    sys.stdout.flush()
    raise typer.Exit(status)


if __name__ == "__main__":
    main()
