"""What `cmvigil forget` refuses before it touches anything, and how it names a patient without naming one."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streams.commands import forget
from streams.live import forgetting
from streams.live.canaries import PREFIX
from streams.live.clients import Record
from streams.live.forgetting import Found, _mention, _until, subject_of
from streams.live.settings import load_settings
from tests.streams.fake_log import FakeConsumer, Kept, opening

CMVIGIL = str(Path(sys.executable).parent / "cmvigil")
NOWHERE = ("--bootstrap", "127.0.0.1:1")


def cmvigil(*words, given="", **environment):
    return subprocess.run(
        [CMVIGIL, "forget", *words, *NOWHERE],
        capture_output=True,
        text=True,
        check=False,
        input=given,
        env={name: value for name, value in os.environ.items() if not name.startswith("CMVIGIL_")} | environment,
    )


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key"
    path.write_text("a secret of the audit\n")
    return {"CMVIGIL_AUDIT_KEY_FILE": str(path)}


def test_what_it_refuses(key, tmp_path):
    short = tmp_path / "short"
    short.write_text("short")
    for words, environment, said in (
        (["pat-77"], key, "--by: who asks for it is needed"),
        (["pat-77", "--by", "Lee"], {}, "audit_key_file: needed"),
        (["pat-77", "--by", "Lee"], {"CMVIGIL_AUDIT_KEY_FILE": str(short)}, "audit_key_file: fewer than 16"),
        (["pat-77", "--by", "Lee", "--reason", "pat-77 asked"], key, "must not hold the patient's id"),
        (["pat-77", "--by", "pat-77"], key, "must not hold the patient's id"),
        ([PREFIX + "1", "--by", "Lee"], key, "a canary is nobody"),
        (["-", "--by", "Lee"], key, "PATIENT: missing"),
    ):
        done = cmvigil(*words, **environment)
        assert done.returncode == 2
        assert said in done.stderr
        assert "pat-77" not in done.stderr


@pytest.mark.slow
def test_the_patient_may_come_on_standard_input_and_is_in_no_error(key):
    done = cmvigil("-", "--by", "Lee", given="pat-77\n", **key)
    assert done.returncode == 1
    assert done.stderr.startswith("cmvigil: broker: ")
    assert "pat-77" not in done.stderr


def test_the_audit_names_a_patient_by_a_hash_that_needs_the_key():
    known = subject_of("pat-77", "a secret of the audit")
    assert known == subject_of("pat-77", "a secret of the audit")
    assert known != subject_of("pat-77", "another secret of it")
    assert known != subject_of("pat-78", "a secret of the audit")
    assert "pat-77" not in known


def letter(**more):
    return msgspec.json.encode({"source": "lab-results/0/1", "reason": "unit: unknown", **more})


def test_a_dead_letter_is_of_a_patient_whose_whole_id_it_holds():
    mine = _mention("pat-7")
    assert mine(letter(input='{"patient_id":"pat-7"}'))
    assert mine(letter(input='{"resourceType":"Observation","subject":{"reference":"Patient/pat-7"}}'))
    assert not mine(letter(input='{"patient_id":"pat-77"}'))
    assert not mine(letter(input='{"patient_id":"my-pat-7"}'))
    assert not mine(None)
    assert mine(letter(input_base64=base64.b64encode(b"\xff pat-7").decode()))
    assert not mine(letter(input_base64=base64.b64encode(b"\xff pat-8").decode()))
    assert not mine(b'{"input_base64":')


def test_an_id_that_json_escapes_is_found_too():
    name = 'o"\u00e9\\7'
    assert _mention(name)(letter(input=json.dumps({"patient_id": name}, ensure_ascii=False)))


def test_retention_without_end_is_told_as_never():
    assert _until(1_772_000_000_000, -1) is None
    assert _until(1_772_000_000_000, 3_600_000) == "2026-02-25T07:13:20Z"


def test_of_fhir_resources_those_are_found_that_are_the_patients_and_still_there(monkeypatch):
    mine, anothers = (("patient_id", b"p"),), (("patient_id", b"pp"),)
    told = [(b"a", b"{}", mine), (b"b", b"{}", anothers), (b"c", b"{}", mine), (b"a", b"{ }", mine), (b"c", None, ())]
    kept = [Kept("detected-issues", 1, offset, *one) for offset, one in enumerate(told)]
    monkeypatch.setattr(forgetting, "open_consumer", opening(FakeConsumer(kept)))
    monkeypatch.setattr(forgetting, "retention", lambda settings: {})
    found = forgetting.look(load_settings(None, {}, partitions=2), "p", ["detected-issues", "not-there"])
    assert found.issues == {"detected-issues": [Record("detected-issues", b"a", None, 1)]}


def test_a_topic_of_fhir_resources_that_is_made_meanwhile_is_no_error(monkeypatch, tmp_path, capsys):
    (tmp_path / "key").write_text("a secret of the audit\n")
    looked = iter([Found(True, [], [], {}), Found(False, [], [], {"detected-issues": []})])
    noted = []
    answers = {"check": [], "taken": True, "ask": {}, "delivered": "done", "bury": False}
    for name, answer in answers.items():
        monkeypatch.setattr(forget, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(forget, "look", lambda *_: next(looked))
    monkeypatch.setattr(forget, "note", lambda settings, audit: noted.append((audit.stage, audit.issues_deleted)))
    settings = load_settings(None, {}, audit_key_file=tmp_path / "key")
    assert forget.run_forget(settings, "pat-77", by="Lee", reason=None, dry_run=False, wait=0) == 0
    assert noted == [("asked", None), ("done", {"detected-issues": 0})]
    assert "pat-77" not in capsys.readouterr().out
