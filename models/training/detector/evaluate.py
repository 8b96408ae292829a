"""Measures an exported detector: `python -m detector.evaluate --data DIR --models DIR --output DIR`.

Against the labels as they are (the headline), and again adjudicated by the
second opinion: a box on a plate that the labels miss counts neither way, and a
plate that was labelled loosely counts as found in either box.

Thresholds for a budget of false boxes are chosen on the validation split and
used on both; calibration was fitted on the validation split too (`export.py`).
What is drawn for the harder questions comes from training's own generators,
with photographs, streets and seeds that training never saw.

Writes `report.md`, `curves.png` and `plate_free.csv` (the plate-free pictures
held back, as a set for `kerbside evaluate`) under --output.  No photograph is
copied: contact sheets come from `kerbside evaluate --sheets DIR`.
"""

import argparse
import csv
import dataclasses
import math
import pathlib
import random
import time

import cv2
import numpy as np

import drive_by
import places

from . import scenes, streets
from .photographs import MANIFEST, Photograph, is_held_back, overlap, read_labels, second_opinions
from .runner import Runner

SIZES = ((512, 288), (640, 384), (768, 448), (960, 544), (1280, 736))
DEFAULT_SIZE = (640, 384)
MATCHING_IOU = 0.5
LOOSE_IOU = 0.2
JUDGING_SCORE = 0.5
FALSE_BUDGET = 0.05
INPUT_BANDS_PX = ((0, 16), (16, 24), (24, 32), (32, 48), (48, 100), (100, 200), (200, math.inf))
# Drawn streets that training never saw: it stays below 9000.
STREETS, FIRST_STREET = 25, 9000


@dataclasses.dataclass
class Scene:
    """A picture of a labelled set: name, labelled boxes, and the second opinion's boxes that no label has."""

    name: str
    width: int
    height: int
    boxes: list
    loosely: list  # per label: boxes that are the same plate by the second opinion, IoU 0.2 to 0.5
    unlabelled: list


def read_split(data, split):
    """The scenes of `val` or `test`, or `plate-free` for the pictures held back from training."""
    opinions, found = second_opinions(data), []
    with open(data / MANIFEST, newline="") as file:
        for row in csv.DictReader(file):
            held_back = row["n_plates"] == "0" and is_held_back(row["file"])
            if (row["split"] if not held_back else "plate-free") != split:
                continue
            height, width = cv2.imread(str(data / row["file"])).shape[:2]
            boxes = read_labels(data, row["file"], width, height)
            sure = [(box, labelled) for box, score, labelled in opinions.get(row["file"], []) if score > JUDGING_SCORE]
            loosely = [[box for box, _ in sure if LOOSE_IOU < overlap(box, label) < MATCHING_IOU] for label in boxes]
            found.append(Scene(row["file"], width, height, boxes, loosely, [box for box, labelled in sure if not labelled]))
    return found


def matched(scene, candidates, adjudicated=True):
    """Every candidate (best first) with its verdict: plate, false or unjudged.  A label is matched once."""
    return [(candidate, verdict) for candidate, verdict, _ in _matched(scene, candidates, adjudicated)]


def _matched(scene, candidates, adjudicated):
    taken, verdicts = set(), []
    for candidate in candidates:
        best, index = 0.0, -1
        for number, label in enumerate(scene.boxes):
            truths = [label] + (scene.loosely[number] if adjudicated else [])
            share = max(overlap(candidate.box, truth) for truth in truths)
            if share > best and number not in taken:
                best, index = share, number
        if best >= MATCHING_IOU:
            taken.add(index)
            verdicts.append((candidate, "plate", index))
        elif adjudicated and any(overlap(candidate.box, box) >= MATCHING_IOU for box in scene.unlabelled):
            verdicts.append((candidate, "unjudged", -1))
        else:
            verdicts.append((candidate, "false", -1))
    return verdicts


def wilson(hits, total):
    """The 95 % interval of a share."""
    if total == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    reach = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def share(hits, total):
    """A share with interval and count, for people."""
    if total == 0:
        return "—"
    low, high = wilson(hits, total)
    return f"{100 * hits / total:.1f} % [{100 * low:.1f}, {100 * high:.1f}] {hits}/{total}"


class Outcome:
    """All candidates of a set, judged; figures at any threshold come from it."""

    def __init__(self, scenes_, detected, adjudicated):
        self.pictures = len(scenes_)
        self.labels = []  # (scene number, label number, width in px)
        self.plates = {}  # (scene number, label number) -> score
        self.false = []  # scores
        self.judged = []  # (score, is plate)
        for number, (scene, candidates) in enumerate(zip(scenes_, detected)):
            self.labels += [(number, index, box[2] - box[0]) for index, box in enumerate(scene.boxes)]
            for candidate, verdict, index in _matched(scene, candidates, adjudicated):
                if verdict == "plate":
                    self.plates[(number, index)] = candidate.score
                elif verdict == "false":
                    self.false.append(candidate.score)
                if verdict != "unjudged":
                    self.judged.append((candidate.score, verdict == "plate"))

    def found(self, threshold, low=0.0, high=math.inf):
        """Found and all plates of a width in [low, high) px."""
        wanted = [(number, index) for number, index, width in self.labels if low <= width < high]
        return sum(key in self.plates and self.plates[key] >= threshold for key in wanted), len(wanted)

    def false_rate(self, threshold):
        """False boxes an image."""
        return sum(score >= threshold for score in self.false) / max(1, self.pictures)

    def threshold_for(self, budget):
        """The least threshold with at most so many false boxes an image."""
        scores = sorted(self.false, reverse=True)
        allowed = int(budget * self.pictures)
        return scores[allowed] + 1e-6 if len(scores) > allowed else 0.0

    def curve(self):
        """Recall and precision over all thresholds, and average precision."""
        order = sorted(self.judged, reverse=True)
        hits = np.cumsum([is_plate for _, is_plate in order])
        count = np.arange(1, len(order) + 1)
        recall, precision = hits / max(1, len(self.labels)), hits / count
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        average = float(np.sum(np.diff(recall, prepend=0.0) * envelope))
        return recall, precision, average


def calibration_error(judged, bins=10):
    """Expected calibration error over equal bins of the score, of candidates at 0.05 and more."""
    judged = [(score, is_plate) for score, is_plate in judged if score >= 0.05]
    rows, error = [], 0.0
    for index in range(bins):
        inside = [(s, p) for s, p in judged if index / bins <= s < (index + 1) / bins + (index == bins - 1)]
        if inside:
            mean_score, mean_truth = (float(np.mean([pair[k] for pair in inside])) for k in (0, 1))
            rows.append((mean_score, mean_truth, len(inside)))
            error += len(inside) / len(judged) * abs(mean_score - mean_truth)
    return error, rows


def _detect_all(runner, data, scenes_, change=lambda picture, number: picture):
    return [runner.detect(change(cv2.imread(str(data / scene.name)), number)) for number, scene in enumerate(scenes_)]


def drawn_scenes(data, split="val", count=400, seed=11):
    """Pictures with drawn plates in photographs that training never saw: (picture, plates with corners)."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    maker, kept = scenes.SceneMaker(rng, noise), []
    pool = read_split(data, split)
    while len(kept) < count:
        scene = rng.choice(pool)
        image = cv2.imread(str(data / scene.name))
        boxes = scene.boxes + scene.unlabelled
        photograph = Photograph(scene.name, scene.name, split, split, scene.width, scene.height, boxes, 1.0)
        picture, plates, _ = maker.sample(photograph, image)
        plates = [plate for plate in plates if plate.corners is not None]
        if plates:
            kept.append((picture, plates))
    return kept


def corner_errors(runner, drawn, threshold):
    """Mean distance of the four corners as a share of the plate's width, for each drawn plate found, with its width; and how many there were."""
    errors, total = [], 0
    for picture, plates in drawn:
        candidates = [candidate for candidate in runner.detect(picture) if candidate.score >= threshold]
        for plate in plates:
            total += 1
            best = max(candidates, key=lambda it: overlap(it.box, plate.box), default=None)
            if best is not None and overlap(best.box, plate.box) >= MATCHING_IOU:
                width = np.linalg.norm(plate.corners[1] - plate.corners[0])
                errors.append((float(np.linalg.norm(best.corners - plate.corners, axis=1).mean() / width), float(width)))
    return errors, total


def _on_streets(runner, stills, scene, threshold, least_width=40.0):
    """Plates found and all plates of at least this width, corner errors of the found, and false boxes an image."""
    found, total, errors, false, pictures = 0, 0, [], 0, 0
    for picture, corners, hidden, still_scene in stills:
        if still_scene != scene:
            continue
        pictures += 1
        candidates = [candidate for candidate in runner.detect(picture) if candidate.score >= threshold]
        quads = [np.array(quad) for quad in corners]
        boxes = [[*quad.min(0), *quad.max(0)] for quad in quads]
        for quad, box in zip(quads, boxes):
            width = float(np.linalg.norm(quad[1] - quad[0]))
            if width < least_width:
                continue
            total += 1
            best = max(candidates, key=lambda it: overlap(it.box, box), default=None)
            if best is not None and overlap(best.box, box) >= MATCHING_IOU:
                found += 1
                errors.append(float(np.linalg.norm(best.corners - quad, axis=1).mean() / width))
        false += sum(all(overlap(it.box, box) < 0.1 for box in boxes + hidden) for it in candidates)
    return found, total, errors, false / max(1, pictures)


def night_of(scenes_, seed=5):
    """A change that makes a photograph an infra-red night picture: dark and grey, its plates shining back.

    What shines is the plate's own light ground, fading out softly around the
    label, so that no drawn outline gives the plate away.
    """

    def change(picture, number):
        rng = random.Random(seed * 100_003 + number)
        grey = picture[..., 2].astype(np.float32)
        shine = np.zeros(grey.shape, np.float32)
        for x0, y0, x1, y1 in scenes_[number].boxes + scenes_[number].unlabelled:
            rows, columns = slice(max(0, int(y0)), max(1, int(y1) + 1)), slice(max(0, int(x0)), max(1, int(x1) + 1))
            inside = grey[rows, columns]
            if not inside.size:
                continue
            dark, light = np.percentile(inside, [15, 85])
            patch = np.zeros_like(shine)
            patch[rows, columns] = np.clip((inside - dark) / max(8.0, light - dark), 0, 1)
            soft = np.zeros_like(shine)
            soft[rows, columns] = 1
            shine = np.maximum(shine, patch * cv2.GaussianBlur(soft, (0, 0), 0.2 * (y1 - y0) + 0.5))
        dim, bright = rng.uniform(0.05, 0.3), rng.uniform(0.8, 1.5)
        grey *= dim + (bright - dim) * shine
        grey += np.random.default_rng(seed + number).normal(0, 5, grey.shape)
        return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    return change


def painted_over(scenes_):
    """A change that paints every known plate of a photograph over, so that none is left in it."""

    def change(picture, number):
        mask = np.zeros(picture.shape[:2], np.uint8)
        scene = scenes_[number]
        for x0, y0, x1, y1 in scene.boxes + scene.unlabelled:
            dx, dy = 0.08 * (x1 - x0) + 2, 0.12 * (y1 - y0) + 2
            cv2.rectangle(mask, (round(x0 - dx), round(y0 - dy)), (round(x1 + dx), round(y1 + dy)), 255, -1)
        return cv2.inpaint(picture, mask, 3, cv2.INPAINT_TELEA)

    return change


def _cpu_ms(runner, repeats=15):
    empty = np.random.default_rng(1).integers(0, 255, (runner.size[1], runner.size[0], 3), dtype=np.uint8)
    canvas = empty.transpose(2, 0, 1)[None].astype(np.float32)
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        runner.session.run(None, {"x": canvas})
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


class Report:
    """Lines of Markdown, printed as they come."""

    def __init__(self):
        self.lines = []

    def line(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def table(self, *cells):
        self.line("| " + " | ".join(str(cell) for cell in cells) + " |")

    def head(self, title, *cells):
        self.line()
        self.line(f"### {title}")
        self.line()
        self.table(*cells)
        self.line("|" + "---|" * len(cells))


def _report_sets(report, runners, data, threshold):
    """The headline: each split, each precision, as labelled and adjudicated."""
    outcomes, budgets = {}, {}
    report.head(
        f"Plates found at IoU 0.5, input {DEFAULT_SIZE[0]}x{DEFAULT_SIZE[1]}",
        "set", "weights", "labels", "AP50", f"60 px and wider at the score that gives {FALSE_BUDGET} false boxes an image on val", "that score",
        "false boxes an image there", f"60 px and wider at score {threshold}", "40 to 60 px", "under 40 px", "false boxes an image",
    )  # fmt: skip
    for split in ("val", "test"):
        scenes_ = read_split(data, split)
        for precision in ("int8", "fp32"):
            detected = _detect_all(runners[precision], data, scenes_)
            for adjudicated in (False, True):
                outcome = outcomes[split, precision, adjudicated] = Outcome(scenes_, detected, adjudicated)
                budget = budgets.setdefault((precision, adjudicated), outcome.threshold_for(FALSE_BUDGET))
                report.table(
                    split, precision, "adjudicated" if adjudicated else "as they are", f"{outcome.curve()[2]:.3f}",
                    share(*outcome.found(budget, 60)), f"{budget:.2f}", f"{outcome.false_rate(budget):.3f}",
                    share(*outcome.found(threshold, 60)), share(*outcome.found(threshold, 40, 60)), share(*outcome.found(threshold, 0, 40)),
                    f"{outcome.false_rate(threshold):.3f}",
                )  # fmt: skip
    return outcomes


def _report_shapes(report, outcomes, data, threshold):
    """Plates of 60 px and wider by the shape of their label: two-line and tilted ones are nearer to a square."""
    scores = (0.3, threshold)
    report.head("By the label's shape, both splits, labels as they are, int8, 60 px and wider", "width to height", *(f"score {s}" for s in scores))
    for low, high in ((0.0, 1.9), (1.9, 3.2), (3.2, math.inf)):
        found = {score: [0, 0] for score in scores}
        for split in ("val", "test"):
            outcome, scenes_ = outcomes[split, "int8", False], read_split(data, split)
            for number, index, width in outcome.labels:
                x0, y0, x1, y1 = scenes_[number].boxes[index]
                if width < 60 or not low <= (x1 - x0) / (y1 - y0) < high:
                    continue
                for score, count in found.items():
                    count[0] += outcome.plates.get((number, index), -1.0) >= score
                    count[1] += 1
        report.table(f"{low} to {high}", *(share(*count) for count in found.values()))


def _report_sizes(report, models, data, threshold, against):
    """What each input size finds and costs, both weights, one run."""
    scenes_ = read_split(data, "val") + read_split(data, "test")
    runners = {(size, precision): Runner(models / f"plate_detector.{precision}.onnx", size) for size in SIZES for precision in ("int8", "fp32")}
    spent = {key: [] for key in runners}
    reference = Runner(against, DEFAULT_SIZE) if against else runners[DEFAULT_SIZE, "int8"]
    base = []
    for _ in range(5):  # in turns, so that a busy moment hits all alike
        base.append(_cpu_ms(reference))
        for key, runner in runners.items():
            spent[key].append(_cpu_ms(runner))
    base_ms = float(np.median(base))
    report.head(
        f"Input sizes (validation and test together, adjudicated, score {threshold}); ratio to {against or 'our int8 at the default size'}",
        "input", "weights", "CPU ms", "ratio", "found", "60 px and wider", "false boxes an image", "calibration error",
    )  # fmt: skip
    by_width = {key: {band: [0, 0] for band in INPUT_BANDS_PX} for key in runners}
    for (size, precision), runner in runners.items():
        outcome = Outcome(scenes_, _detect_all(runner, data, scenes_), True)
        milliseconds = float(np.median(spent[size, precision]))
        report.table(
            f"{size[0]}x{size[1]}", precision, f"{milliseconds:.2f}", f"{milliseconds / base_ms:.2f}",
            share(*outcome.found(threshold)), share(*outcome.found(threshold, 60)), f"{outcome.false_rate(threshold):.3f}",
            f"{100 * calibration_error(outcome.judged)[0]:.1f} %",
        )  # fmt: skip
        for number, index, width in outcome.labels:
            scene = scenes_[number]
            seen = width * min(size[0] / scene.width, size[1] / scene.height)
            for band in INPUT_BANDS_PX:
                if band[0] <= seen < band[1]:
                    counts = by_width[size, precision][band]
                    counts[0] += outcome.plates.get((number, index), -1.0) >= threshold
                    counts[1] += 1
    report.head(
        "Plates found by their width in the network's input, int8",
        "input", *(f"{low} to {high} px" if high < math.inf else f"{low} px and wider" for low, high in INPUT_BANDS_PX),
    )  # fmt: skip
    for (size, precision), counts in by_width.items():
        if precision == "int8":
            report.table(f"{size[0]}x{size[1]}", *(f"{hits}/{total}" for hits, total in counts.values()))


def _report_hard(report, runners, data, threshold):
    """Plate-free pictures, night, corners."""
    report.head(f"Harder questions, at score {threshold}", "question", "int8", "fp32")
    plain = read_split(data, "plate-free")
    full = read_split(data, "val") + read_split(data, "test")
    cells = {"int8": [], "fp32": []}
    drawn_streets = list(streets.stills_of(range(FIRST_STREET, FIRST_STREET + STREETS)))
    drawn = drawn_scenes(data)
    for precision, runner in runners.items():

        def clean(detected):
            return share(sum(not any(c.score >= threshold for c in found) for found in detected), len(detected))

        cells[precision].append(clean(_detect_all(runner, data, plain)))
        cells[precision].append(clean(_detect_all(runner, data, full, painted_over(full))))
        night = Outcome(full, _detect_all(runner, data, full, night_of(full)), True)
        cells[precision].append(share(*night.found(threshold, 60)) + f", {night.false_rate(threshold):.3f} false")
        for scene in (drive_by.DAY, drive_by.NIGHT):
            found, total, errors, false = _on_streets(runner, drawn_streets, scene, threshold)
            cells[precision].append(share(found, total) + f", {false:.3f} false, corners {100 * np.median(errors or [math.nan]):.2f} %")
        empty = _detect_all(runner, data, full, lambda picture, number: night_of(full)(painted_over(full)(picture, number), number))
        cells[precision].append(clean(empty))
        small = Runner(runner.path, (scenes.WIDTH_PX, scenes.HEIGHT_PX))
        errors, total = corner_errors(small, drawn, threshold)
        cells[precision].append(share(len(errors), total))
        for low, high in ((0, math.inf), (60, math.inf), (30, 60), (0, 30)):
            inside = [100 * error for error, width in errors if low <= width < high]
            spread = f"{np.median(inside):.2f} %, 90th percentile {np.percentile(inside, 90):.2f} %" if inside else "—"
            cells[precision].append(f"{spread} ({len(inside)})")
    questions = (
        "plate-free pictures held back, none found in", "photographs with every known plate painted over, none found in",
        "the same photographs as infra-red night, plates of 60 px and wider found",
        "drawn streets by day, plates of 40 px and wider found", "drawn streets by infra-red, likewise",
        "photographs as infra-red night with the plates painted over first: none found in", "drawn plates in unseen photographs, found",
        "corner error on these, median share of plate width, all", "of 60 px and wider in the input", "of 30 to 60 px", "under 30 px",
    )  # fmt: skip
    for index, question in enumerate(questions):
        report.table(question, cells["int8"][index], cells["fp32"][index])


def _draw_curves(outcomes, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13.5, 4.2), constrained_layout=True)
    for split, colour in (("val", "#1f6f8b"), ("test", "#c1440e")):
        for adjudicated, style in ((False, "-"), (True, "--")):
            outcome = outcomes[split, "int8", adjudicated]
            recall, precision, average = outcome.curve()
            name = {"val": "validation", "test": "test"}[split] + (", adjudicated" if adjudicated else ", labels as they are")
            left.plot(recall, precision, style, color=colour, label=f"{name}: AP50 {average:.3f}")
        edges = [0, 30, 40, 60, 80, 100, 140, 200, 400]
        rates = [(outcome.found(0.5, low, high), low) for low, high in zip(edges, edges[1:])]
        rates = [(low, hits / total) for (hits, total), low in rates if total]
        middle.plot([low for low, _ in rates], [rate for _, rate in rates], "o-", color=colour, label=name)
        error, rows = calibration_error(outcome.judged)
        right.plot([row[0] for row in rows], [row[1] for row in rows], "o-", color=colour, label=f"{name}: error {100 * error:.1f} %")
    left.set(xlabel="recall", ylabel="precision", xlim=(0.7, 1.0), ylim=(0.5, 1.01), title="precision and recall, int8")
    middle.set(xlabel="plate width in the photograph, px (from)", ylabel="found at score 0.5", ylim=(0, 1.02), title="recall by plate width")
    right.plot([0, 1], [0, 1], ":", color="grey")
    right.set(xlabel="score", ylabel="share that are plates", title="is a score a probability?")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower left" if axes is left else "lower right")
    figure.savefig(path, dpi=110)


def _write_plate_free(data, path):
    """The held-back pictures as a set for `kerbside evaluate`."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "split", "n_plates"])
        writer.writerows([scene.name, "plate-free", 0] for scene in read_split(data, "plate-free"))


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=places.data_folder, required=True)
    parser.add_argument("--models", type=places.models_folder, required=True, help="folder with plate_detector.{int8,fp32}.onnx")
    parser.add_argument("--output", type=places.outside_folder, required=True)
    parser.add_argument("--threshold", type=float, default=0.5, help="score at which figures are given (0.5)")
    parser.add_argument("--against", type=pathlib.Path, help="another detector.onnx, for the ratios of times")
    parser.add_argument("--quick", action="store_true", help="the headline only")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    runners = {precision: Runner(arguments.models / f"plate_detector.{precision}.onnx", DEFAULT_SIZE) for precision in ("int8", "fp32")}
    report = Report()
    outcomes = _report_sets(report, runners, arguments.data, arguments.threshold)
    _report_shapes(report, outcomes, arguments.data, arguments.threshold)
    for split in ("val", "test"):
        error, _ = calibration_error(outcomes[split, "int8", True].judged)
        where = "where it was fitted" if split == "val" else "unseen"
        report.line(f"\nCalibration error of the int8 scores, {split} ({where}), adjudicated: {100 * error:.1f} %")
    if not arguments.quick:
        _report_hard(report, runners, arguments.data, arguments.threshold)
        _report_sizes(report, arguments.models, arguments.data, arguments.threshold, arguments.against)
        _draw_curves(outcomes, arguments.output / "curves.png")
    _write_plate_free(arguments.data, arguments.output / "plate_free.csv")
    (arguments.output / "report.md").write_text("\n".join(report.lines) + "\n")


if __name__ == "__main__":
    main()
