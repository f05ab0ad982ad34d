"""The Faust app of a worker."""

from streams.codes import NO_CODES
from streams.knowledge_files import read_plan
from streams.live.settings import Settings
from streams.live.worker import build


def test_a_worker_makes_no_directories_so_its_root_may_be_read_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = build(Settings(), read_plan([]), NO_CODES).app
    app._create_directories()
    assert list(tmp_path.iterdir()) == []
