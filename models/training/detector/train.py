"""Trains the plate detector: `python -m detector.train --data DIR --work DIR`.

One command, from start to end or on from where it was stopped: a checkpoint
lies under --work, and the same command goes on from it.  The seed, every
argument and the losses stand in the log, one JSON object a line.  Samples are
numbered and each number has its own generator, so a run that was stopped draws
the samples it would have drawn (but for the pools of drawn plates, which start
afresh).

The rate warms up over the first 4,000 samples, stays, and falls linearly to
zero over the last fifth.  The weights that are kept are a moving average.
"""

import argparse
import copy
import dataclasses
import json
import pathlib
import random
import time

import cv2
import numpy as np
import torch
import tqdm
from torch.utils.data import DataLoader, IterableDataset

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
WARM_UP_SAMPLES = 4_000
FALLING_SHARE = 0.2
CUTS_A_PHOTOGRAPH = 3
# Drawn streets are numbered; those from 9000 on are for evaluation.
STREETS, FIRST_STREET = 90, 1


@dataclasses.dataclass
class Progress:
    """Where a run stands: samples seen, and the running means of the losses."""

    samples: int
    losses: np.ndarray


class Samples(IterableDataset):
    """Batches of (pictures uint8 (N, 256, 384, 3), targets (N, 16, 32, 48)), endless; one worker."""

    def __init__(self, kept, seed, batch, first):
        self.kept, self.seed, self.batch, self.first = kept, seed, batch, first

    def __iter__(self):
        cv2.setNumThreads(0)
        by_source = {}
        for photograph in self.kept:
            by_source.setdefault(photograph.source, []).append(photograph)
        names = [name for name in SOURCE_WEIGHTS if name in by_source]
        weights = [SOURCE_WEIGHTS[name] for name in names]
        rng, noise = random.Random(self.seed), np.random.default_rng(self.seed)
        maker = scenes.SceneMaker(rng, noise)
        number, pending = self.first, []
        while True:
            while len(pending) < self.batch * 4:
                rng.seed(self.seed * 1_000_003 + number)
                photograph = rng.choice(by_source[rng.choices(names, weights)[0]])
                image = cv2.imread(photograph.file)
                for _ in range(CUTS_A_PHOTOGRAPH if photograph.boxes else 1):
                    picture, plates, ignored = maker.sample(photograph, image)
                    pending.append((picture, scenes.targets(plates, ignored)))
                    number += 1
            rng.shuffle(pending)  # so that cuts of one photograph part
            chosen, pending = pending[: self.batch], pending[self.batch :]
            yield tuple(torch.from_numpy(np.stack(column)) for column in zip(*chosen))


def rate_at(samples, total, highest):
    """The learning rate after so many samples of so many."""
    falling = total * FALLING_SHARE
    return highest * min(1.0, (samples + 100) / WARM_UP_SAMPLES) * min(1.0, max(0.01, (total - samples) / falling))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with det_manifest.csv and the photographs")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="where cache, checkpoint and log go: outside the project")
    parser.add_argument("--samples", type=int, default=300_000, help="training samples in all (300,000)")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=pathlib.Path, help="weights to start from (a state dict); default: random ones")
    parser.add_argument("--no-compile", action="store_true", help="don't compile the network: slower, but starts at once")
    return parser.parse_args()


def _save(path, detector, average, optimiser, progress):
    part = path.with_suffix(".part")
    torch.save(
        {
            "detector": detector.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "samples": progress.samples,
            "losses": progress.losses.tolist(),
        },
        part,
    )
    part.rename(path)
    torch.save(average.state_dict(), path.with_name("plate_detector.pt"))


def main():
    """The command."""
    arguments = _arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    checkpoint, log = arguments.work / "checkpoint.pt", arguments.work / "train.log"
    # One thread: with two, the library's barriers cost more than the second core gives while the worker runs.
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    kept = photographs.prepare(arguments.data, arguments.work, progress=tqdm.tqdm)
    kept += streets.as_photographs(streets.prepare(arguments.work, STREETS, FIRST_STREET, progress=tqdm.tqdm))

    detector = PlateDetector().to(memory_format=torch.channels_last)
    if arguments.start:
        detector.load_state_dict(torch.load(arguments.start, weights_only=True))
    average = copy.deepcopy(detector)
    matrices = [p for p in detector.parameters() if p.ndim > 1]
    vectors = [p for p in detector.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.03}, {"params": vectors, "weight_decay": 0.0}], lr=arguments.rate
    )
    progress = Progress(0, np.zeros(4))
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        detector.load_state_dict(state["detector"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        progress = Progress(state["samples"], np.array(state["losses"]))
    run = detector if arguments.no_compile else torch.compile(detector)

    with open(log, "a", buffering=1) as lines:

        def note(**fields):
            lines.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields}) + "\n")

        note(event="start", samples=progress.samples, photographs=len(kept), torch=torch.__version__, opencv=cv2.__version__,
             arguments={key: str(value) for key, value in vars(arguments).items()})  # fmt: skip
        batches = DataLoader(Samples(kept, arguments.seed, arguments.batch, progress.samples), batch_size=None, num_workers=1, prefetch_factor=8)
        saved = time.monotonic()
        with tqdm.tqdm(total=arguments.samples, initial=progress.samples, unit="sample") as bar:
            for pictures, target in batches:
                if progress.samples >= arguments.samples:
                    break
                _step(run, detector, average, optimiser, pictures, target, progress, arguments)
                bar.update(len(pictures))
                if time.monotonic() - saved > 120:
                    saved = time.monotonic()
                    names = ("score", "box", "corners", "extent")
                    losses = {name: round(float(value), 4) for name, value in zip(names, progress.losses)}
                    bar.set_postfix(losses)
                    note(event="step", samples=progress.samples, **losses)
                    _save(checkpoint, detector, average, optimiser, progress)
        _save(checkpoint, detector, average, optimiser, progress)
        note(event="end", samples=progress.samples)


def _step(run, detector, average, optimiser, pictures, target, progress, arguments):
    for group in optimiser.param_groups:
        group["lr"] = rate_at(progress.samples, arguments.samples, arguments.rate)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = run(normalised(pictures))
    parts = loss_parts(answer, target)
    optimiser.zero_grad(set_to_none=True)
    sum(weight * part for weight, part in zip(LOSS_WEIGHTS, parts)).backward()
    torch.nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
    optimiser.step()
    steps = progress.samples // len(pictures)
    keep = min(0.9985, (1 + steps) / (10 + steps))
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), detector.state_dict().values()):
            if kept.dtype.is_floating_point:
                kept.lerp_(new, 1 - keep)
            else:
                kept.copy_(new)
    progress.losses = 0.97 * progress.losses + 0.03 * np.array([float(part) for part in parts])
    progress.samples += len(pictures)


if __name__ == "__main__":
    main()
