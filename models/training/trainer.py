"""What both trainings share: the loop, the rate, the moving average, checkpoint, log and progress bar.

A run is one command.  Stopped and started again it goes on from its last
checkpoint, at most two minutes back.  The log has one JSON object a line, with
every argument, the seed and the running means of the losses.
"""

import argparse
import copy
import hashlib
import json
import pathlib
import sys
import time

import cv2
import numpy as np
import torch
import tqdm

import places
import roadside_plates

WARM_UP_SAMPLES = 4_000
FALLING_SHARE = 0.2
_SAVE_EVERY_S = 120


def arguments_of(description, samples, batch, rate):
    """The parser of a training command, with the options that every training has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=places.data_folder, required=True, help="folder with the manifests and the photographs")
    parser.add_argument("--work", type=places.outside_folder, required=True, help="where cache, checkpoint and log go: outside the project")
    parser.add_argument("--samples", type=int, default=samples, help=f"training samples in all ({samples:,})")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate, help=f"highest learning rate ({rate})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=places.weights_file, help="weights to start from (a state dict); default: random ones")
    parser.add_argument("--no-compile", action="store_true", help="don't compile the network: slower, but starts at once")
    return parser


def export_arguments_of(description, name):
    """The parser of an export command, with the options that every export has; `name` names the weights."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=places.data_folder, required=True)
    parser.add_argument("--work", type=places.outside_folder, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for the two .onnx files")
    parser.add_argument("--weights", type=places.weights_file, help=f"state dict (default: WORK/{name}.pt)")
    parser.add_argument("--seed", type=int, default=3, help="which pictures set the int8 ranges")
    return parser


def trained(network, arguments, name):
    """The network with the weights that an export command names, ready to run."""
    file = arguments.weights or arguments.work / f"{name}.pt"
    if not file.is_file():
        raise SystemExit(f"{file} is not there; train first, or name a state dict by --weights")
    network.load_state_dict(torch.load(file, weights_only=True))
    return network.eval()


def rate_at(samples, total, highest):
    """The learning rate after `samples` of `total`: it warms up, stays, and falls linearly over the last fifth."""
    falling = total * FALLING_SHARE
    return highest * min(1.0, (samples + 100) / WARM_UP_SAMPLES) * min(1.0, max(0.01, (total - samples) / falling))


def _settings(arguments):
    """The arguments that rule what is learnt."""
    return {key: getattr(arguments, key) for key in ("samples", "batch", "rate", "seed")}


class Training:
    """One run: a network, its moving average and its optimiser, kept under `work`.

    `loss_of(run, batch)` gives the parts of the loss of a batch, named by
    `part_names` and weighed by `part_weights`; `name` names the weights.
    """

    def __init__(self, arguments, network, name, loss_of, part_names, part_weights, decay=0.02, betas=(0.9, 0.999), clip=10.0):
        self.arguments, self.name, self.loss_of, self.clip = arguments, name, loss_of, clip
        self.part_names, self.part_weights = part_names, part_weights
        self.network = network.to(memory_format=torch.channels_last)
        if arguments.start:
            self.network.load_state_dict(torch.load(arguments.start, weights_only=True))
        self.average = copy.deepcopy(self.network)
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=arguments.rate, betas=betas)
        self.samples, self.losses = 0, np.zeros(len(part_names))
        self.checkpoint = arguments.work / "checkpoint.pt"
        if self.checkpoint.exists():
            self._load()

    def _load(self):
        state = torch.load(self.checkpoint, weights_only=True)
        now = _settings(self.arguments)
        for key, value in state.get("settings", now).items():
            if value != now[key]:
                print(f"{self.checkpoint}: began with --{key} {value}, goes on with {now[key]}", file=sys.stderr)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.samples, self.losses = state["samples"], np.array(state["losses"])

    def _save(self):
        part = self.checkpoint.with_suffix(".part")
        state = {"network": self.network.state_dict(), "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict()}
        settings = _settings(self.arguments)
        torch.save({**state, "samples": self.samples, "losses": self.losses.tolist(), "settings": settings}, part)
        part.rename(self.checkpoint)
        torch.save(self.average.state_dict(), part)
        part.rename(self.arguments.work / f"{self.name}.pt")

    def run(self, batches, **noted):
        """Trains until `--samples` are seen.  `batches` gives tuples whose first member has one row a sample; `noted` goes into the log."""
        arguments = self.arguments
        run = self.network if arguments.no_compile else torch.compile(self.network)
        with open(arguments.work / "train.log", "a", buffering=1) as lines:

            def note(**fields):
                lines.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields}) + "\n")

            given = {key: str(value) for key, value in vars(arguments).items()}
            versions = {"torch": torch.__version__, "opencv": cv2.__version__, "numpy": np.__version__}
            # Fonts decide what is drawn.
            fonts = [file.rsplit("/", 1)[-1] for file in roadside_plates.font_files()]
            start = hashlib.sha256(arguments.start.read_bytes()).hexdigest() if arguments.start else None
            note(event="start", samples=self.samples, arguments=given, start_sha256=start, fonts=fonts, **versions, **noted)
            saved = time.monotonic()
            with tqdm.tqdm(total=arguments.samples, initial=self.samples, unit="sample") as bar:
                for batch in batches:
                    if self.samples >= arguments.samples:
                        break
                    self._step(run, batch)
                    bar.update(len(batch[0]))
                    if time.monotonic() - saved > _SAVE_EVERY_S:
                        saved = time.monotonic()
                        losses = {name: round(float(value), 4) for name, value in zip(self.part_names, self.losses)}
                        bar.set_postfix(losses)
                        note(event="step", samples=self.samples, **losses)
                        self._save()
            self._save()
            note(event="end", samples=self.samples)

    def _step(self, run, batch):
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.samples, self.arguments.samples, self.arguments.rate)
        parts = self.loss_of(run, batch)
        self.optimiser.zero_grad(set_to_none=True)
        sum(weight * part for weight, part in zip(self.part_weights, parts)).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimiser.step()
        steps = self.samples // len(batch[0])
        keep = min(0.9985, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values()):
                if kept.dtype.is_floating_point:
                    kept.lerp_(new, 1 - keep)
                else:
                    kept.copy_(new)
        self.losses = 0.97 * self.losses + 0.03 * np.array([float(part) for part in parts])
        self.samples += len(batch[0])
