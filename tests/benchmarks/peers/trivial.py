"""What all peers do alike: a trivial rule, and how they measure themselves. Needs the standard library alone."""

import json
import sys
import time

TOPICS = ("lab-results", "medication-administrations")
KEPT = 8
RISE = 0.3


def judge(kept, event):
    """The last figures of a patient with this event's, and whether it is well above the least of them."""
    figure = event.get("value", event.get("dose")) or 0.0
    now = [*kept[1 - KEPT :], [event["recorded_at"], figure]]
    return now, figure - min(one[1] for one in now) >= RISE


class Tally:
    """Counts events; says at the end what they cost, from the first of them on."""

    def __init__(self, wanted):
        self.wanted, self.seen, self.risen = wanted, 0, 0
        self.cpu = self.wall = self.last = 0.0

    def count(self, rises):
        """Whether this was the last."""
        if not self.seen:
            self.cpu, self.wall = time.process_time(), time.perf_counter()
        self.seen += 1
        self.risen += rises
        if self.seen < self.wanted:
            return False
        self.last = time.perf_counter()
        return True

    def say(self):
        """To be called once all is written: CPU of writing counts, idle waiting after the last event does not."""
        found = {"events": self.seen, "rises": self.risen, "cpu": time.process_time() - self.cpu}
        # Faust takes standard output for its own.
        print(json.dumps(found | {"wall": self.last - self.wall}), file=sys.__stdout__, flush=True)
