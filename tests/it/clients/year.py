"""Fills the ledger of a store with a year of packed days, in the format of src/store/ledger/day.rs.

Arguments: the SQLite file of a store that no sidecar writes into. Prints what the days hold by state, in seconds, of the service.
"""

import collections
import datetime
import json
import sqlite3
import sys
import zlib

MINUTES = 1_440
DAY_MS = 86_400_000


def number(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def folded(value):
    return number(value << 1 if value >= 0 else (-value << 1) - 1)


def packed(boot, seconds, runs_of_minutes, total, bad):
    """A day of one start. `seconds`: (letter, seconds) runs; `runs_of_minutes`: (missing before it, length)."""
    body = number(1) + number(len(boot)) + boot.encode() + number(len(runs_of_minutes))
    for gap, length in runs_of_minutes:
        body += number(gap) + number(length)
    for letter, length in seconds:
        body += number(ord(letter)) + number(length)
    minutes = sum(length for _, length in runs_of_minutes)
    body += folded(total) + folded(0) * (minutes - 1)
    body += folded(bad) * minutes
    return bytes([1]) + zlib.compress(body, 9)


def day(back):
    """What the day so many days ago was: runs of seconds and of minutes."""
    whole = MINUTES * 60
    if back % 41 == 7:
        down = 60 * (3 + back % 29)
        return [("u", 30_000), ("d", down), ("g", 1_800), ("u", whole - 31_800 - down)], [(0, MINUTES)]
    if back % 53 == 11:
        return [("u", 7_200), ("m", 5_400), ("u", whole - 12_600)], [(0, MINUTES)]
    if back % 17 == 5:
        return [("u", 50_000), ("g", 900), ("u", whole - 50_900)], [(0, MINUTES)]
    if back % 13 == 3:
        # Nobody ran at night.
        return [("u", 1_080 * 60)], [(360, 1_080)]
    return [("u", whole)], [(0, MINUTES)]


def main():
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    today_ms = int(today.timestamp() * 1_000)
    states = collections.Counter()
    with sqlite3.connect(sys.argv[1]) as database:
        for back in range(1, 340):
            if 180 <= back < 190:
                continue  # It was not there at all.
            seconds, minutes = day(back)
            for letter, length in seconds:
                states[letter] += length
            for service in ("service", "backend"):
                row = ("year", service, today_ms - back * DAY_MS, packed(f"boot{back}", seconds, minutes, 240, back % 3 == 0))
                database.execute("INSERT INTO ledger_days (member, service, day, packed) VALUES (?, ?, ?, ?)", row)
    print(json.dumps(states))


main()
