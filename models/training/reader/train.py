"""Trains the plate reader: `python -m reader.train --data DIR --work DIR --models DIR`.

One command, from start to end or on from where it was stopped (`trainer.py`).
`--models` holds the detector whose corners the photographed plates are cut by.
"""

import random

import cv2
import numpy as np
import torch
import tqdm
from torch.utils.data import DataLoader, IterableDataset

import places
import trainer

from . import crops, junk
from .network import ALPHABET, LOSS_WEIGHTS, PlateReader, loss_parts, normalised
from .samples import SampleMaker, Shares

_CLASS = {char: index + 1 for index, char in enumerate(ALPHABET)}


class Samples(IterableDataset):
    """Batches of (patches uint8 (N, 64, 160), classes of all texts, lengths (N), places (N, 80)), endless; for one worker."""

    def __init__(self, kept, blanks, seed, batch, first):
        self.kept, self.blanks, self.seed, self.batch, self.first = kept, blanks, seed, batch, first

    def __iter__(self):
        cv2.setNumThreads(0)
        rng, noise = random.Random(self.seed), np.random.default_rng(self.seed * 1_000_003 + self.first)
        pictures = {}

        def load(crop):
            if crop.file not in pictures:
                pictures[crop.file] = crops.load(crop)
            return pictures[crop.file].astype(np.float32)

        weighted = [crop for crop in self.kept for _ in range(crop.weight)]
        maker = SampleMaker(rng, noise, weighted, self.blanks, load, Shares())
        number = self.first
        while True:
            rng.seed(self.seed * 1_000_003 + number)
            batch = maker.batch(self.batch)
            number += self.batch
            texts = [_CLASS[char] for sample in batch for char in sample.text]
            yield (
                torch.from_numpy(np.stack([sample.patch for sample in batch])),
                torch.tensor(texts),
                torch.tensor([len(sample.text) for sample in batch]),
                torch.from_numpy(np.stack([sample.places for sample in batch])),
            )


def _loss_of(run, batch):
    patches, texts, lengths, places = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = run(normalised(patches))
    return loss_parts(answer, texts, lengths, places)


def main():
    """The command."""
    parser = trainer.arguments_of(__doc__.split("\n", 1)[0], samples=1_000_000, batch=64, rate=1e-3)
    parser.add_argument("--models", type=places.models_folder, required=True, help="folder with plate_detector.{int8,fp32}.onnx")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    kept = crops.prepare(arguments.data, arguments.work, arguments.models, progress=tqdm.tqdm)
    blanks = [crops.Crop(file, "", box, corners, 1) for file, box, corners in junk.prepare(arguments.data, arguments.work, arguments.models)]
    parts = ("text", "places")
    training = trainer.Training(arguments, PlateReader(), "plate_reader", _loss_of, parts, LOSS_WEIGHTS, betas=(0.9, 0.98), clip=5.0)
    samples = Samples(kept, blanks, arguments.seed, arguments.batch, training.samples)
    training.run(DataLoader(samples, batch_size=None, num_workers=1, prefetch_factor=6), crops=len(kept), junk=len(blanks))


if __name__ == "__main__":
    main()
