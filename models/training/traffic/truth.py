"""What was to be seen in a clip, written as it is drawn.

The truth file starts with the columns of `drive_by.py`'s, so that whatever reads
those reads these; the rest follows (README.md says what each means).
"""

import csv

# A plate counts as seen from this width on, as in `drive_by.py`; below it nobody could read it.
from drive_by import LEAST_PLATE_PX
from traffic.scenarios import FRONT

TRUTH_COLUMNS = (
    "vrm", "first_frame", "last_frame", "direction", "scene", "max_plate_width_px",
    "id", "lane", "end", "speed_mph", "closing_mph", "first_s", "last_s", "max_char_height_px",
    "readable_frames", "hidden_frames", "cut_frames", "stops", "stopped_s",
)  # fmt: skip
CORNER_COLUMNS = ("frame", "vrm", "x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3", "id", "whole", "hidden")

# A halt shorter than this is none.
_LEAST_STOP_S = 1.0


class _Seen:
    """What has been seen of one passage so far."""

    def __init__(self, passage):
        self.passage = passage
        self.whole, self.readable = [None, None], [None, None]
        self.readable_frames = self.hidden_frames = self.cut_frames = 0
        self.best_px = self.best_char_px = 0.0
        self.best_frame = 0
        self.halts = []  # [first frame, last frame] of each

    def add(self, index, sighting):
        width = sighting.width_px
        if not sighting.whole:
            self.cut_frames += 1
            return
        self.whole = [index if self.whole[0] is None else self.whole[0], index]
        if sighting.stopped:
            if self.halts and self.halts[-1][1] == index - 1:
                self.halts[-1][1] = index
            else:
                self.halts.append([index, index])
        if width < LEAST_PLATE_PX:
            return
        if sighting.hidden:
            self.hidden_frames += 1
            return
        self.readable = [index if self.readable[0] is None else self.readable[0], index]
        self.readable_frames += 1
        if width > self.best_px:
            self.best_px, self.best_char_px, self.best_frame = width, sighting.char_height_px, index


class Truth:
    """Gathers sightings frame by frame; `corners` is an open text file for them, or None."""

    def __init__(self, scene, fps, corners=None):
        self._scene, self._fps = scene, fps
        self._seen = {}
        self._corners = csv.writer(corners, lineterminator="\n") if corners else None
        if self._corners:
            self._corners.writerow(CORNER_COLUMNS)

    def add(self, index, sightings):
        """The sightings of frame `index`."""
        for sighting in sightings:
            passage = sighting.passage
            self._seen.setdefault((passage.number, passage.end), _Seen(passage)).add(index, sighting)
            if self._corners:
                places = (f"{value:.2f}" for value in sighting.corners.ravel())
                self._corners.writerow(
                    [index, passage.mark.vrm, *places, passage.number, int(sighting.whole), int(sighting.hidden)]
                )

    def rows(self):
        """One row (`TRUTH_COLUMNS`) a passage whose plate could be read in some frame, by the frame in which it was largest."""
        seen = [item for item in self._seen.values() if item.readable_frames]
        return [self._row(item) for item in sorted(seen, key=lambda item: (item.best_frame, item.passage.number))]

    def marks(self):
        """The marks of `rows`, in order, each once."""
        return list(dict.fromkeys(row[0] for row in self.rows()))

    def write(self, path):
        """Writes the truth file."""
        with open(path, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(TRUTH_COLUMNS)
            writer.writerows(self.rows())

    def write_manifest(self, path, clip):
        """Writes a labelled set of one `clip`, as `kerbside evaluate --truth` takes it."""
        with open(path, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file", "texts"])
            writer.writerow([clip, ";".join(self.marks())])

    def _row(self, seen):
        passage, fps = seen.passage, self._fps
        stops = [(last - first + 1) / fps for first, last in seen.halts]
        stops = [seconds for seconds in stops if seconds >= _LEAST_STOP_S]
        return [
            passage.mark.vrm,
            *seen.readable,
            "approaching" if passage.end == FRONT else "receding",
            self._scene,
            round(seen.best_px),
            passage.number,
            passage.lane + 1,
            passage.end,
            f"{passage.speed_mph:.1f}",
            f"{passage.closing_mph:.1f}",
            f"{seen.whole[0] / fps:.3f}",
            f"{seen.whole[1] / fps:.3f}",
            f"{seen.best_char_px:.1f}",
            seen.readable_frames,
            seen.hidden_frames,
            seen.cut_frames,
            len(stops),
            f"{sum(stops):.1f}",
        ]
