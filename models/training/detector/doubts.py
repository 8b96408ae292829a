"""Finds what may be unlabelled plates: `python -m detector.doubts --data DIR --work DIR --models DIR`.

In the Romanian rides only the near plates are labelled.  A network that is
punished for finding the far ones learns to miss small plates.  This runs
weights of an earlier stage over the rides of the training split and writes the
boxes that no label has to `WORK/doubts.json`; training then counts them neither
way.  Other sources are left alone: there, an unlabelled box is mostly lettering,
which the network must learn to refuse.
"""

import argparse

import cv2

import places

from . import photographs
from .runner import Runner

SOURCES = ("RobertLucian",)
LEAST_SCORE = 0.2
SIZE = (960, 544)


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=places.data_folder, required=True)
    parser.add_argument("--work", type=places.outside_folder, required=True)
    parser.add_argument("--models", type=places.models_folder, required=True)
    arguments = parser.parse_args()
    runner, doubts = Runner(arguments.models / "plate_detector.fp32.onnx", SIZE), {}
    for photograph in photographs.prepare(arguments.data, arguments.work):
        if photograph.source not in SOURCES:
            continue
        found = [it for it in runner.detect(cv2.imread(photograph.file)) if it.score >= LEAST_SCORE]
        boxes = [
            [float(value) for value in it.box]
            for it in found
            if all(photographs.overlap(it.box, known) < 0.1 for known in photograph.boxes)
        ]
        if boxes:
            doubts[photograph.name] = boxes
    photographs.write_doubts(arguments.work, doubts)
    print(f"{sum(map(len, doubts.values()))} doubtful boxes in {len(doubts)} photographs")


if __name__ == "__main__":
    main()
