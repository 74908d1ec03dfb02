"""Results: kept as JSON that is on disk after every row, and shown as a table."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

from rows import BY_KEY, PEERS, ROWS, written

SCHEMA = 1


def summary(values: list[float]) -> dict:
    """Number, median, least and greatest of measured values, and the values."""
    return {
        "n": len(values),
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "values": [round(value, 6) for value in values],
    }


class Report:
    """What was measured so far. Each call rewrites the file and prints what is new."""

    def __init__(self, path: Path, machine: dict, goals: bool = True) -> None:
        self.path, self.goals = path, goals
        self.data: dict = {"schema": SCHEMA, "machine": machine, "rows": {}, "finished": False}
        self.write()

    def put(self, key: str, values: list[float], goal: float | None = None, floor: str = "", note: str = "") -> None:
        """Our values for a row; goal and floor where the run works them out."""
        row = BY_KEY[key]
        goal = (row.goal if goal is None else goal) if self.goals else None
        record = self.row(key)
        record.update(ours=summary(values), goal=goal, at_least=row.at_least, unit=row.unit, floor=floor or row.floor)
        record["reached"] = row.reached(record["ours"]["median"], goal)
        if note:
            record["note"] = note
        self.ratios(record)
        self.write()
        print(f"bench: {row.title}: {told(record)}", flush=True)

    def put_peer(self, key: str, peer: str, values: list[float], note: str = "") -> None:
        """A peer's values for a row."""
        record = self.row(key)
        record["peers"][peer] = summary(values) | ({"note": note} if note else {})
        self.ratios(record)
        self.write()
        print(f"bench:   {PEERS.get(peer, peer)}: {written(statistics.median(values), BY_KEY[key].unit)}", flush=True)

    def skip(self, key: str, why: str, peer: str | None = None) -> None:
        """A row, or a peer's part of it, that could not be measured; what was measured stays."""
        record = self.row(key)
        where = record["peers"].setdefault(peer, {}) if peer else record
        where["skipped"] = why
        self.write()
        print(f"bench: {BY_KEY[key].title}{f', {peer}' if peer else ''}: skipped, {why}", flush=True)

    def add(self, section: str, value: dict) -> None:
        """Something beside the rows: parity, quality, stage times."""
        self.data[section] = value
        self.write()
        print(f"bench: {section}: {json.dumps(value, ensure_ascii=False)[:400]}", flush=True)

    def finish(self) -> None:
        self.data["finished"] = True
        self.write()

    def row(self, key: str) -> dict:
        return self.data["rows"].setdefault(key, {"title": BY_KEY[key].title, "peers": {}})

    @staticmethod
    def ratios(record: dict) -> None:
        """Ours ÷ the peer's, of the medians."""
        for peer in record["peers"].values():
            if "ours" in record and peer.get("median"):
                peer["ratio"] = record["ours"]["median"] / peer["median"]

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.data, indent=2, ensure_ascii=False) + "\n")
        os.replace(new, self.path)


def told(record: dict) -> str:
    """Our part of a row in words."""
    ours, unit = record["ours"], record["unit"]
    text = f"{written(ours['median'], unit)} (n {ours['n']}, {written(ours['min'], unit)} to {written(ours['max'], unit)})"
    if record["goal"] is not None:
        text += f", goal {'≥' if record['at_least'] else '≤'} {written(record['goal'], unit)}"
        text += ": reached" if record["reached"] else ": not reached"
    return text


def table(data: dict) -> str:
    """The results as Markdown."""
    names = [name for name in PEERS if any(name in row["peers"] for row in data["rows"].values())]
    head = ["", "goal", "ours: median (n, min–max)", *(f"{PEERS[name]} · ours ÷ it" for name in names), "floor"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for spec in ROWS:
        record = data["rows"].get(spec.key)
        if record is None:
            continue
        lines.append("| " + " | ".join(cells(record, names)) + " |")
    notes = [f"* {row['title']}: {row['note']}" for row in data["rows"].values() if "note" in row]
    notes += [f"* {row['title']}, {name}: {peer['note']}" for row in data["rows"].values()
              for name, peer in row["peers"].items() if "note" in peer]
    notes += [f"* {name}: {json.dumps(data[name], ensure_ascii=False)}" for name in ("floor", "parity", "quality") if name in data]
    return "\n".join([*lines, "", *notes, f"* machine: {machine_line(data['machine'])}"]) + "\n"


def cells(record: dict, names: list[str]) -> list[str]:
    """One row's cells."""
    if "ours" not in record:
        first = [record["title"], "", f"not measured: {record.get('skipped', 'the run ended before it')}"]
        unit = BY_KEY[next(key for key, row in BY_KEY.items() if row.title == record["title"])].unit
    else:
        ours, unit, goal = record["ours"], record["unit"], record["goal"]
        wanted = "" if goal is None else f"{'≥' if record['at_least'] else '≤'} {written(goal, unit)}"
        low, high = written(ours["min"], unit), written(ours["max"], unit)
        mark = {True: "**", False: "", None: ""}[record["reached"]]
        first = [record["title"], wanted, f"{mark}{written(ours['median'], unit)}{mark} ({ours['n']}, {low}–{high})"]
    others = []
    for name in names:
        peer = record["peers"].get(name, {})
        if "median" in peer:
            ratio = f" · {peer['ratio']:.2f}" if "ratio" in peer else ""
            others.append(written(peer["median"], unit) + ratio)
        else:
            others.append(peer.get("skipped", "–"))
    return [*first, *others, record.get("floor", "")]


def machine_line(machine: dict) -> str:
    """The machine in one line."""
    return ", ".join(f"{key} {value}" if key not in ("gpu", "cpu") else str(value) for key, value in machine.items())
