"""Hold the records of `kerbside replay` against a clip's truth: `python -m traffic.score`.

    kerbside replay CLIP.mp4 > RECORDS.jsonl
    python -m traffic.score --truth TRUTH.csv --corners CORNERS.csv RECORDS.jsonl

A record belongs to the passage whose plate lies where the record's best frame
has it, so that a wrong mark is laid at the right door.
"""

import argparse
import collections
import csv
import dataclasses
import json

import numpy as np


@dataclasses.dataclass
class Verdict:
    """Passages by what became of them, and records that belong to none.

    `right` have exactly one record and its mark is right, `wrong` one with
    another mark, `repeated` several, `missed` none; each holds (truth row, marks
    read).
    """

    right: list
    wrong: list
    repeated: list
    missed: list
    strays: list

    @property
    def passages(self):
        """How many passages were judged."""
        return len(self.right) + len(self.wrong) + len(self.repeated) + len(self.missed)



class Corners:
    """Where each plate was, frame by frame."""

    def __init__(self, path):
        self._frames = collections.defaultdict(list)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                quad = np.array([float(row[axis + str(corner)]) for corner in range(4) for axis in "xy"]).reshape(4, 2)
                self._frames[int(row["frame"])].append((int(row["id"]), quad.mean(axis=0), np.linalg.norm(quad[1] - quad[0])))

    def owner(self, frame, corners):
        """The id of the vehicle whose plate is at `corners` (4, 2) px in `frame`, or None."""
        centre = np.mean(np.asarray(corners, float), axis=0)
        near = [(np.linalg.norm(centre - place) / width, number) for number, place, width in self._frames[frame]]
        distance, number = min(near, default=(1.0, None))
        return number if distance < 0.5 else None


def judge(truth, corners, records, least_width_px=0.0):
    """A `Verdict` on `records` (dicts as `kerbside replay` prints) over `truth` rows with plates of at least this width at best."""
    read, strays = collections.defaultdict(list), []
    ends = collections.defaultdict(list)
    for row in truth:
        ends[int(row["id"])].append(row)
    for record in records:
        number = corners.owner(record["best_frame"], record["corners_px"])
        # Front and rear of one vehicle share its id: the frame says which passage it is.
        rows = [row for row in ends[number] if int(row["first_frame"]) <= record["best_frame"] <= int(row["last_frame"])]
        rows = rows or ends[number][:1]
        if rows:
            read[rows[0]["id"], rows[0]["end"]].append(record["vrm"])
        else:
            strays.append(record["vrm"])
    verdict = Verdict([], [], [], [], strays)
    for row in truth:
        if float(row["max_plate_width_px"]) < least_width_px:
            continue
        marks = read[row["id"], row["end"]]
        if not marks:
            place = verdict.missed
        elif len(marks) > 1:
            place = verdict.repeated
        else:
            place = verdict.right if marks[0] == row["vrm"] else verdict.wrong
        place.append((row, marks))
    return verdict


def main(arguments=None):
    """Prints what became of each passage."""
    parser = argparse.ArgumentParser(prog="traffic.score", description="Hold replay's records against a clip's truth.")
    parser.add_argument("records", metavar="RECORDS.jsonl")
    parser.add_argument("--truth", required=True, metavar="TRUTH.csv")
    parser.add_argument("--corners", required=True, metavar="CORNERS.csv")
    parser.add_argument("--least-width", type=float, default=0.0, metavar="PX", help="judge only plates this wide at best")
    args = parser.parse_args(arguments)
    with open(args.truth, newline="") as file:
        truth = list(csv.DictReader(file))
    with open(args.records) as file:
        said = [json.loads(line) for line in file if line.strip()]
    records = [record for record in said if record["schema"].startswith("kerbside.read/")]
    unread = sum(record["schema"].startswith("kerbside.unread/") for record in said)
    verdict = judge(truth, Corners(args.corners), records, args.least_width)
    print(
        f"{verdict.passages} passages: {len(verdict.right)} exactly one record with the right mark, {len(verdict.wrong)} another mark,"
        f" {len(verdict.repeated)} several records, {len(verdict.missed)} none; {len(verdict.strays)} records of no passage, {unread} unread"
    )
    for what, rows in (("wrong", verdict.wrong), ("repeated", verdict.repeated), ("missed", verdict.missed)):
        for row, marks in rows:
            seen = f"{row['max_plate_width_px']} px at best, {row['readable_frames']} frames to read it in from frame {row['first_frame']}"
            print(f"  {what}: {row['vrm']} read as {' '.join(marks) or 'nothing'} ({seen})")
    for mark in verdict.strays:
        print(f"  of no passage: {mark}")


if __name__ == "__main__":
    main()
