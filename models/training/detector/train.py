"""Trains the plate detector: `python -m detector.train --data DIR --work DIR`.

One command, from start to end or on from where it was stopped (`trainer.py`).
An unbroken run is fixed by its seed, the fonts and the library versions, all in
the log.  One that was stopped goes on with other samples than it would have
drawn: what was prepared ahead, and the pools of drawn plates, are lost.
"""

import random

import cv2
import numpy as np
import torch
import tqdm
from torch.utils.data import DataLoader, IterableDataset

import trainer

from . import photographs, scenes, streets
from .network import LOSS_WEIGHTS, PlateDetector, loss_parts, normalised

# How often each source is drawn: the large one is varied, the small ones would be learnt by heart.
SOURCE_WEIGHTS = {
    "faisalthaheem": 0.52,
    "RobertLucian": 0.12,
    "TechKhid": 0.12,
    "elkinal": 0.10,
    "plate-free": 0.14,
    streets.SOURCE: 0.12,
}
CUTS_A_PHOTOGRAPH = 3
# Drawn streets are numbered; those from 9000 on are for evaluation.
STREETS, FIRST_STREET = 90, 1


class Samples(IterableDataset):
    """Batches of (pictures uint8 (N, 256, 384, 3), targets (N, 16, 32, 48)), endless; for one worker."""

    def __init__(self, kept, seed, batch, first):
        self.kept, self.seed, self.batch, self.first = kept, seed, batch, first

    def __iter__(self):
        cv2.setNumThreads(0)
        by_source = {}
        for photograph in self.kept:
            by_source.setdefault(photograph.source, []).append(photograph)
        if unknown := set(by_source) - set(SOURCE_WEIGHTS):
            raise SystemExit(f"sources {sorted(unknown)} have no weight; add them to SOURCE_WEIGHTS in detector/train.py")
        names = [name for name in SOURCE_WEIGHTS if name in by_source]
        weights = [SOURCE_WEIGHTS[name] for name in names]
        rng, noise = random.Random(self.seed), np.random.default_rng(self.seed * 1_000_003 + self.first)
        maker = scenes.SceneMaker(rng, noise)
        number, pending = self.first, []
        while True:
            while len(pending) < self.batch * 4:
                rng.seed(self.seed * 1_000_003 + number)
                photograph = rng.choice(by_source[rng.choices(names, weights)[0]])
                image = cv2.imread(photograph.file)
                if image is None:
                    raise SystemExit(f"{photograph.file} can't be read; delete the work folder's photographs.json to cache it again")
                for _ in range(CUTS_A_PHOTOGRAPH if photograph.boxes else 1):
                    picture, plates, ignored = maker.sample(photograph, image)
                    pending.append((picture, scenes.targets(plates, ignored)))
                    number += 1
            rng.shuffle(pending)  # so that cuts of one photograph part
            chosen, pending = pending[: self.batch], pending[self.batch :]
            yield tuple(torch.from_numpy(np.stack(column)) for column in zip(*chosen))


def _loss_of(run, batch):
    pictures, target = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = run(normalised(pictures))
    return loss_parts(answer, target)


def main():
    """The command."""
    arguments = trainer.arguments_of(__doc__.split("\n", 1)[0], samples=400_000, batch=20, rate=1.5e-3).parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    # One thread: with two, the library's barriers cost more than the second core gives while the worker draws.
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    kept = photographs.prepare(arguments.data, arguments.work, progress=tqdm.tqdm)
    kept += streets.as_photographs(streets.prepare(arguments.work, STREETS, FIRST_STREET, progress=tqdm.tqdm))
    parts = ("score", "box", "corners", "extent")
    training = trainer.Training(arguments, PlateDetector(), "plate_detector", _loss_of, parts, LOSS_WEIGHTS, decay=0.03)
    samples = Samples(kept, arguments.seed, arguments.batch, training.samples)
    training.run(DataLoader(samples, batch_size=None, num_workers=1, prefetch_factor=8), photographs=len(kept))


if __name__ == "__main__":
    main()
