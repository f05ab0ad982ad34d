"""`cmvigil replay`, as a user meets it: what goes in, what comes out where, and what one bad line does: nothing."""

import base64
import gzip
import hashlib
import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from typer.testing import CliRunner

from streams.cli import app

CMVIGIL = Path(sys.executable).parent / "cmvigil"


def lab(event_id="L1", **more):
    return {
        "type": "lab",
        "event_id": event_id,
        "patient_id": "p1",
        "code": "2823-3",
        "value": 2.4,
        "unit": "mmol/L",
        "collected_at": "2026-03-04T10:00:00Z",
        "recorded_at": "2026-03-04T11:00:00Z",
        **more,
    }


def dose(event_id="A1", **more):
    return {
        "type": "administration",
        "event_id": event_id,
        "patient_id": "p1",
        "drug": "foscarnet",
        "dose": 6000,
        "unit": "mg",
        "route": "iv",
        "started_at": "2026-03-04T08:00:00Z",
        "ended_at": "2026-03-04T10:00:00Z",
        "recorded_at": "2026-03-04T10:05:00Z",
        **more,
    }


def observation(**more):
    return {
        "resourceType": "Observation",
        "id": "L1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2026-03-04T10:00:00Z",
        "issued": "2026-03-04T11:00:00Z",
        "valueQuantity": {"value": 2.4, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
        **more,
    }


def ndjson(*events):
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def run(*arguments, stdin=b""):
    return subprocess.run([CMVIGIL, "replay", *map(str, arguments)], input=stdin, capture_output=True, check=False)


def replay(tmp_path, data, *arguments):
    """Alerts and rejects of a log of these bytes, in this process."""
    log, rejects = tmp_path / "log", tmp_path / "rejects.ndjson"
    log.write_bytes(data)
    done = CliRunner().invoke(app, ["replay", str(log), "--json", "--rejects", str(rejects), *arguments])
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout_bytes.splitlines()], [
        json.loads(line) for line in rejects.read_bytes().splitlines()
    ]


def codes(alerts):
    return {alert["code"] for alert in alerts}


EXPECTED = "hypokalemia"


# Formats -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        ndjson(dose(), lab()),
        ndjson(lab(), dose()),
        ndjson(dose(), lab()).replace(b"\n", b"\r\n"),
        b"\n \n" + ndjson(dose()) + b"\n\n" + ndjson(lab()).rstrip(),
        b"\xef\xbb\xbf" + ndjson(dose(), lab()),
        ndjson(dose(), observation()),
        ndjson(dose(), {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observation()}]}),
        json.dumps([dose(), lab()]).encode(),
        json.dumps([dose(), observation()], indent=2).encode(),
        ndjson(dose()) + ndjson([lab(), lab("L2")]),
        ndjson(dose()) + b"\xef\xbb\xbf" + ndjson(lab()),
        ndjson(dose()).rstrip() + ndjson(lab()),
        json.dumps(dose(), indent=1).encode() + json.dumps(observation(), indent=4).encode(),
        ndjson(dose()) + json.dumps([lab()], indent=2).encode(),
    ],
)
def test_the_format_is_told_from_the_content(tmp_path, data):
    alerts, rejects = replay(tmp_path, data)
    assert EXPECTED in codes(alerts)
    assert rejects == []


def test_a_document_over_many_lines(tmp_path):
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observation()}]}
    (tmp_path / "labs.json").write_text(json.dumps(bundle, indent=2))
    (tmp_path / "dose.json").write_text(json.dumps(dose(), indent=2))
    done = run(tmp_path / "labs.json", tmp_path / "dose.json", "--json")
    assert EXPECTED in codes(map(json.loads, done.stdout.splitlines()))


def test_a_bad_resource_of_a_bundle_is_rejected_alone_with_its_place_and_bytes(tmp_path):
    bad = observation(id="L2", valueQuantity={"value": -1, "code": "mmol/L"})
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": bad}, {"resource": observation()}]}
    alerts, rejects = replay(tmp_path, ndjson(dose(), bundle))
    assert EXPECTED in codes(alerts)
    (reject,) = rejects
    assert (reject["line"], reject["entry"], reject["reason"]) == (2, 0, "value: negative")
    assert json.loads(reject["input"]) == bad


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_archives_are_told_by_their_content(tmp_path, suffix):
    data = ndjson(dose(), lab())
    packed = gzip.compress(data) if suffix == ".gz" else zstandard.compress(data)
    for name in (f"log.ndjson{suffix}", "log.bin"):
        (tmp_path / name).write_bytes(packed)
        done = run(tmp_path / name, "--json")
        assert EXPECTED in codes(map(json.loads, done.stdout.splitlines()))
    assert EXPECTED in codes(map(json.loads, run("-", "--json", stdin=packed).stdout.splitlines()))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_archives_of_several_members(tmp_path, pack):
    (tmp_path / "log").write_bytes(pack(ndjson(dose())) + pack(ndjson(lab())))
    assert EXPECTED in codes(map(json.loads, run(tmp_path / "log", "--json").stdout.splitlines()))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_truncated_archive_is_unusable_and_nothing_is_judged(tmp_path, pack, cut):
    data = ndjson(dose(), lab(), *(lab(f"X{random.random()}") for _ in range(3000)))
    packed = pack(data)
    (tmp_path / "log").write_bytes(packed[: int(len(packed) * cut)])
    done = run(tmp_path / "log", "--json")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"truncated or corrupt" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_corrupt_archive_is_unusable(tmp_path):
    packed = bytearray(gzip.compress(ndjson(dose(), lab(), *(lab(f"X{random.random()}") for _ in range(3000)))))
    packed[len(packed) // 2] ^= 255
    (tmp_path / "log").write_bytes(packed)
    assert run(tmp_path / "log", "--json").returncode == 2


@pytest.mark.parametrize("name", ["log.ndjson.gz", "log.ndjson.zst", "log.parquet"])
@pytest.mark.parametrize("data", [b"", b"\x1f", b"no archive", b"\x00" * 100])
def test_what_calls_itself_an_archive_and_is_none_is_unusable(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    done = run(tmp_path / name, "--json")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"truncated or corrupt" in done.stderr
    (tmp_path / name).write_bytes(ndjson(dose(), lab()))
    assert run(tmp_path / name).returncode == 0


def test_parquet_is_no_stream():
    done = run("-", stdin=b"PAR1" + b"\x00" * 100)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"parquet" in done.stderr


def test_frames_of_zstd_without_content_are_skipped(tmp_path):
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00none"
    data = skipped + zstandard.compress(ndjson(dose())) + skipped + zstandard.compress(ndjson(lab())) + skipped
    alerts, rejects = replay(tmp_path, data)
    assert EXPECTED in codes(alerts)
    assert rejects == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.ndjson"], b"no such file"),
        (["."], b"directory"),
        (["-", "--until", "2026-03-04"], b"--until"),
        (["-", "--until", "2026-03-04T00:00:00"], b"--until: no offset"),
        (["-", "--rejects", "no/such/folder/file"], b"--rejects"),
        (["-", "--unjudged", "no/such/folder/file"], b"--unjudged"),
        (["-", "--knowledge", "no-such.toml"], b"no-such.toml"),
        ([], b"LOG"),
        (["-", "--nonsense"], b"--nonsense"),
    ],
)
def test_unusable_arguments_exit_with_2_and_say_why(tmp_path, arguments, says, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["log.ndjson", "--rejects", "./log.ndjson"],
        ["log.ndjson", "--unjudged", "link"],
        ["log.ndjson", "--rejects", "said", "--unjudged", "said"],
    ],
)
def test_no_log_is_written_over(tmp_path, arguments, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.ndjson").write_bytes(ndjson(dose(), lab()))
    (tmp_path / "link").symlink_to("log.ndjson")
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"already" in done.stderr
    assert (tmp_path / "log.ndjson").read_bytes() == ndjson(dose(), lab())


def test_what_is_written_nowhere_may_be_the_same():
    assert run("/dev/null", "--rejects", "/dev/null", "--unjudged", "/dev/null").returncode == 0


def test_a_standard_input_that_is_closed_is_unusable():
    done = subprocess.run(["sh", "-c", f"{CMVIGIL} replay - <&-"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr


def test_an_empty_log_is_no_error(tmp_path):
    alerts, rejects = replay(tmp_path, b"")
    assert (alerts, rejects) == ([], [])


def test_several_logs_are_one(tmp_path):
    (tmp_path / "a").write_bytes(ndjson(lab()))
    done = run(tmp_path / "a", "-", "--json", stdin=ndjson(dose()))
    assert EXPECTED in codes(map(json.loads, done.stdout.splitlines()))


# Bad input -----------------------------------------------------------------------------------------------------------

BAD = [
    (b"{", "not JSON"),
    (b"[", "not JSON"),
    (b"null", "event: expected object, got null"),
    (b"42", "event: expected object, got int"),
    (b'"text"', "event: expected object, got str"),
    (b"{}", "type: missing"),
    (b"\xff\xfe\x00", "not JSON"),
    (json.dumps(lab(event_id="")).encode(), "event_id: expected str of length >= 1"),
    (json.dumps(lab(type="nonsense")).encode(), "type: not one of its values"),
    (json.dumps(lab(value=None)).encode(), "value: missing, and no result"),
    (json.dumps(lab(value="2.4")).encode(), "value: expected float | null, got str"),
    (json.dumps(lab(value=-1)).encode(), "value: negative"),
    (json.dumps(lab(unit=None)).encode(), "unit: missing"),
    (json.dumps(lab(unit="furlong")).encode(), "unit: not known for potassium"),
    (json.dumps(lab(code=None)).encode(), "code: missing"),
    (json.dumps(lab(recorded_at="2026-03-04T11:00:00")).encode(), "recorded_at: no offset"),
    (json.dumps(lab(recorded_at="yesterday")).encode(), "recorded_at: not an ISO 8601 time"),
    (json.dumps(lab(collected_at="1899-12-31T23:59:59Z")).encode(), "collected_at: outside 1900-2100"),
    (json.dumps(lab(collected_at="2101-01-01T00:00:00Z")).encode(), "collected_at: outside 1900-2100"),
    (
        json.dumps(lab(collected_at="2026-03-04T12:00:00.000001Z")).encode(),
        "collected_at: more than 1 h after recorded_at",
    ),
    (
        json.dumps(lab(collected_at="2025-01-28T10:59:59Z")).encode(),
        "too-late: recorded more than 400 d after collected_at",
    ),
    (json.dumps(lab(status="nonsense")).encode(), "status: not one of its values"),
    (json.dumps(lab(comparator="~")).encode(), "comparator: not one of its values"),
    (json.dumps(dose(ended_at="2026-03-04T07:59:59Z")).encode(), "ended_at: before started_at"),
    (json.dumps(dose(dose=-1)).encode(), "dose: negative"),
    (json.dumps(dose(dose=None)).encode(), "dose: missing"),
    (json.dumps(dose(unit="mmol/L")).encode(), "unit: not known for foscarnet"),
    (json.dumps(dose(unit=None)).encode(), "unit: missing"),
    (json.dumps(dose(drug=None)).encode(), "drug: missing"),
    (json.dumps(lab()).replace("2.4", "NaN").encode(), "not JSON"),
    (json.dumps(lab()).replace("2.4", "Infinity").encode(), "not JSON"),
    (json.dumps(lab()).replace("2.4", "1e999").encode(), "value: number out of range"),
    (json.dumps(lab()).replace("2.4", "-1e999").encode(), "value: number out of range"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON nested too deep"),
    (json.dumps({"resourceType": "Observation"}).encode(), "code: missing"),
    (b'{"resourceType": "Observation", ', "not JSON"),
    # Not UTF-8, even where nothing is read.
    (json.dumps(lab(note="?")).encode().replace(b"?", b"\xfc"), "not JSON"),
    (json.dumps(observation(note="?")).encode().replace(b"?", b"\xfc"), "not JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[f"{i}-{reason[:30]}" for i, (_, reason) in enumerate(BAD)])
def test_a_bad_line_is_rejected_with_its_reason_and_bytes_and_the_good_are_judged(tmp_path, line, reason):
    alerts, rejects = replay(tmp_path, ndjson(dose()) + line + b"\n" + ndjson(lab("GOOD")))
    assert EXPECTED in codes(alerts)
    (reject,) = rejects
    assert (reject["source"], reject["line"], reject["entry"]) == (str(tmp_path / "log"), 2, None)
    assert reject["reason"] == reason
    kept = base64.b64decode(reject["input_base64"]) if "input_base64" in reject else reject["input"].encode()
    if len(line) <= 64 << 10:
        assert kept == line
    else:
        assert (kept, reject["bytes"]) == (line[: 64 << 10], len(line))
        assert reject["sha256"] == hashlib.sha256(line).hexdigest()


def test_boundaries_that_are_still_accepted(tmp_path):
    good = [
        lab("1", collected_at="2026-03-04T12:00:00Z"),
        lab("2", collected_at="2025-01-28T11:00:00Z"),
        lab("3", collected_at="2026-03-04T15:45:00+05:45"),
        lab("4", value=0),
        dose("5", ended_at="2026-03-04T08:00:00Z"),
        lab("6", value=None, status="cancelled"),
        {
            "type": "lab",
            "event_id": "7",
            "patient_id": "p1",
            "recorded_at": "2026-03-04T11:00:00Z",
            "status": "entered-in-error",
        },
        lab("8", nonsense={"deep": [1, 2]}),
    ]
    _, rejects = replay(tmp_path, ndjson(*good))
    assert rejects == []


def test_a_line_of_100_megabytes_is_rejected_in_bounded_memory(tmp_path):
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (700 << 20,) * 2);"
        "from streams.cli import main; sys.argv = ['cmvigil', 'replay', '-', '--json', '--rejects', sys.argv[1]];"
        "main()"
    )
    data = ndjson(dose()) + b'{"type":"lab","event_id":"' + b"x" * (100 << 20) + b'"}\n' + ndjson(lab())
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "rejects"], input=data, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert EXPECTED in codes(map(json.loads, done.stdout.splitlines()))
    (reject,) = map(json.loads, (tmp_path / "rejects").read_bytes().splitlines())
    assert (reject["line"], reject["reason"], len(reject["input"])) == (2, "line too long", 64 << 10)


def test_rejects_of_a_file_whose_name_is_no_utf_8(tmp_path):
    log, rejects = tmp_path / "log\udcff.ndjson", tmp_path / "rejects"
    log.write_bytes(b"nonsense\n")
    done = subprocess.run([CMVIGIL, "replay", log, "--rejects", rejects], capture_output=True, check=False)
    assert done.returncode == 0
    assert json.loads(rejects.read_bytes())["source"] == str(tmp_path / "log\ufffd.ndjson")


def test_rejects_are_counted_where_they_are_not_kept():
    done = run("-", "--json", stdin=ndjson(dose(), lab()) + b"{\n")
    assert b"1 rejected (see --rejects)" in done.stderr


def test_what_no_rule_watches_is_counted_and_no_error():
    done = run("-", "--json", stdin=ndjson(dose(), lab(code="2345-7"), dose("A2", drug="paracetamol", unit="spoon")))
    assert b"2 not watched by any rule" in done.stderr
    assert b"rejected" not in done.stderr


# What comes out ------------------------------------------------------------------------------------------------------


def test_only_ndjson_of_the_contract_on_standard_output():
    done = run("-", stdin=ndjson(dose(), lab()))
    fields = {
        "alert_id",
        "seq",
        "status",
        "state",
        "code",
        "severity",
        "patient_id",
        "drug",
        "onset_at",
        "emitted_at",
        "title",
        "detail",
        "recommendation",
        "evidence",
        "references",
        "reason",
        "supersedes",
        "ruleset",
    }
    alerts = [json.loads(line) for line in done.stdout.splitlines()]
    assert alerts
    for alert in alerts:
        assert fields <= alert.keys()
        code, drug, _, _ = alert["alert_id"].split("/")
        assert (code, drug) == (alert["code"], alert["drug"] or "-")
        assert all(set(one) == {"event_id", "at", "text"} for one in alert["evidence"])


def test_any_order_of_lines_gives_the_same_bytes(tmp_path):
    lines = [
        dose(),
        lab(),
        lab("L2", value=3.1, collected_at="2026-03-04T16:00:00Z", recorded_at="2026-03-04T17:00:00Z"),
    ]
    outputs = set()
    for seed in range(4):
        random.Random(seed).shuffle(lines)
        outputs.add(run("-", "--json", stdin=ndjson(*lines, *lines[:1])).stdout)
    assert len(outputs) == 1
    assert outputs.pop()


def test_until_runs_the_clock_on_or_stops_it():
    log = ndjson(dose(), lab())
    emitted = [
        (json.loads(line)["code"], json.loads(line)["emitted_at"])
        for line in run("-", "--json", "--until", "2026-03-08T08:00:00Z", stdin=log).stdout.splitlines()
    ]
    assert ("baseline-labs-missing", "2026-03-05T08:00:00Z") in emitted
    stopped = run("-", "--json", "--until", "2026-03-04T10:59:59Z", stdin=log)
    assert EXPECTED not in codes(map(json.loads, stopped.stdout.splitlines()))
    inclusive = run("-", "--json", "--until", "2026-03-04T11:00:00Z", stdin=log)
    assert EXPECTED in codes(map(json.loads, inclusive.stdout.splitlines()))


def test_what_could_not_be_judged_is_listed(tmp_path):
    path = tmp_path / "unjudged"
    action = {
        "type": "action",
        "event_id": "X1",
        "patient_id": "p1",
        "recorded_at": "2026-03-04T12:00:00Z",
        "alert_id": "aki/foscarnet/-/0000000000000000",
        "action": "acknowledge",
        "by": "pharmacist-7",
    }
    run("-", "--json", "--unjudged", path, stdin=ndjson(dose(), lab(), action))
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert {"patient_id": "p1", "code": "dose-above-renal-band", "reason": "clearance: no birth date"} in found
    assert {"patient_id": "p1", "code": "aki", "reason": "an action on an alert that is not known"} in found


def test_a_reader_that_leaves_is_no_failure():
    with subprocess.Popen(
        [CMVIGIL, "replay", "-", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stdin.write(ndjson(dose(), lab()))
        process.stdin.close()
        error = process.stderr.read()
    assert b"Traceback" not in error
    assert process.returncode == 0


def test_a_table_on_a_terminal(monkeypatch, tmp_path, capsys):
    from streams.commands.replay import run_replay

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    (tmp_path / "log").write_bytes(ndjson(dose(), lab()))
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    status = run_replay(
        [str(tmp_path / "log")], as_json=False, until=None, rejects_path=None, unjudged_path=None, overlays=[]
    )
    assert status == 0
    text = screen.getvalue()
    assert "hypokalemia" in text
    assert "raised" in text
    assert "2 events" in capsys.readouterr().err
