"""The model card's pictures of the reader: `python -m reader.card --models DIR --scores NAME=CSV ... --output DIR`.

`reader-examples.jpg` shows patches that training draws, with what the reader
makes of them; there is no photograph among them.  `reader-reliability.png`
shows how often marks of each confidence were right, from the files that
`kerbside evaluate --scores` wrote.
"""

import argparse
import csv
import pathlib
import random

import cv2
import numpy as np
import onnxruntime
import torch
from matplotlib import pyplot

import places

from .network import decoded
from .samples import SampleMaker, Shares

_COLUMNS, _ROWS, _TEXT_PX, _GAP_PX = 8, 11, 20, 4
_RIGHT_BGR, _WRONG_BGR = (40, 120, 30), (30, 30, 200)
_BINS = 10


def _score_file(text):
    name, _, path = text.partition("=")
    if not path or not pathlib.Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text}: give NAME=CSV, the CSV one that `kerbside evaluate --scores` wrote")
    return name, pathlib.Path(path)


def _session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def draw_examples(models, path, seed):
    """Patches of drawn plates with their reads: green right (O and 0, I and 1 alike), red wrong with the truth beside."""
    session = _session(models / "plate_reader_64x160.int8.onnx")
    shares = Shares(photographed=0.0, junk=0.04, replaced=0.0)
    samples = SampleMaker(random.Random(seed), np.random.default_rng(seed), [], [], None, shares).batch(_COLUMNS * _ROWS)
    fold = str.maketrans("OI", "01")
    cells = []
    for sample in samples:
        text, weakest = decoded(torch.from_numpy(session.run(None, {"x": sample.patch[None, None].astype(np.float32)})[0][0]))
        right = text.translate(fold) == sample.text.translate(fold)
        height, width = sample.patch.shape
        cell = np.full((height + _TEXT_PX + _GAP_PX, width + _GAP_PX, 3), 255, np.uint8)
        cell[:height, :width] = sample.patch[..., None]
        note = f"{text or '-'} {weakest:.2f}" if right else f"{text or '-'} {weakest:.2f} ({sample.text or 'no plate'})"
        cv2.putText(cell, note, (1, height + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _RIGHT_BGR if right else _WRONG_BGR, 1, cv2.LINE_AA)
        cells.append(cell)
    rows = [np.hstack(cells[at : at + _COLUMNS]) for at in range(0, len(cells), _COLUMNS)]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])


def read_scores(path):
    """Confidence and rightness (0 or 1) of every plate that was read."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["read"]]
    return np.array([float(row["confidence"]) for row in rows]), np.array([float(row["right"]) for row in rows])


def draw_reliability(sets, path):
    """Bins of equal count, so that no point stands on two plates; and how the confidences are spread."""
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(6, 7), height_ratios=(3, 1), sharex=True, layout="constrained")
    above.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="a probability")
    for name, file in sets:
        confidence, right = read_scores(file)
        order = np.argsort(confidence)
        bins = [part for part in np.array_split(order, _BINS) if len(part)]
        x, y = [confidence[part].mean() for part in bins], [right[part].mean() for part in bins]
        gap = sum(len(part) * abs(confidence[part].mean() - right[part].mean()) for part in bins) / len(confidence)
        line = above.plot(x, y, marker="o", markersize=4, linewidth=1, label=f"{name}: {len(confidence)} read, error {gap:.1%}")[0]
        below.hist(confidence, bins=np.linspace(0, 1, 41), histtype="step", color=line.get_color(), log=True)
    above.set(ylabel="share right", ylim=(0, 1.02), title="Confidence of the whole mark against truth")
    above.legend(loc="upper left", fontsize="small")
    below.set(xlabel="confidence", ylabel="plates", xlim=(0, 1.01))
    figure.savefig(path, dpi=110)


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=places.models_folder, required=True)
    parser.add_argument("--scores", type=_score_file, action="append", default=[], metavar="NAME=CSV")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    draw_examples(arguments.models, arguments.output / "reader-examples.jpg", arguments.seed)
    if arguments.scores:
        draw_reliability(arguments.scores, arguments.output / "reader-reliability.png")


if __name__ == "__main__":
    main()
