"""A worker of the next state version, whose states a worker of today cannot read: a checksum stands before the body.

Run as `python -m tests.live.newer`. What it patches is what a release would change: VERSION, an entry in UPGRADES, and
how bodies are written and read.
"""

import zlib

from monitor import state

_HEADER = state._HEADER.size
_dump, _decode = state.dump, state._decode


def checked(body):
    return zlib.crc32(body).to_bytes(4, "big") + bytes(body)


def dump(p):
    data = _dump(p)
    return data[:_HEADER] + checked(data[_HEADER:])


def decode(body):
    assert zlib.crc32(body[4:]) == int.from_bytes(body[:4], "big")
    return _decode(body[4:])


def patch():
    state.UPGRADES[state.VERSION] = checked
    state.VERSION += 1
    state.dump, state._decode = dump, decode


if __name__ == "__main__":
    patch()
    from streams.codes import NO_CODES
    from streams.knowledge_files import read_plan
    from streams.live.run import run_worker
    from streams.live.settings import load_settings

    settings = load_settings()
    run_worker(settings, read_plan(list(settings.knowledge)), NO_CODES)
