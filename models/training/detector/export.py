"""Exports trained weights: `python -m detector.export --data DIR --work DIR --output DIR`.

Scores are calibrated first.  The focal loss leaves them flat; a scale and a
shift of the logit make a score the share of such candidates that are plates.
They are fitted on the validation split, adjudicated, at 640x384, one look a
picture: at other sizes and in tiles they hold less well (`evaluate` says how
well).  Both are folded into the last layer, so that the daemon needs to know
nothing of it.

Then come `plate_detector.fp32.onnx` and `plate_detector.int8.onnx`, with free
height and width (multiples of 32).  int8 is static: ranges from training
pictures (never from validation or test ones), weights per channel.
"""

import copy
import json
import random

import cv2
import numpy as np
import onnx
import torch

import trainer
from quantise import write_int8

from . import photographs
from .evaluate import matched, read_split
from .network import DeployedDetector, PlateDetector
from .runner import Runner, letterboxed

RANGE_PICTURES = 120
# Weaker candidates are beyond any threshold that is used; there are thousands, and they would rule the fit.
LEAST_LOGIT = -3.5
# The answer stays fp32: scores reach from -40 to 20 and corners from -3 to 3, and
# one 8-bit scale for both would put corners on a grid of 4 px.
KEPT_FP32 = ("/detector/score/", "/detector/shape/")
NAMES = {"x": {2: "height", 3: "width"}, "y": {2: "rows", 3: "columns"}}


def write_onnx(detector, path, scale=1.0, shift=0.0):
    """Writes fp32 weights with free height and width."""
    deployed = DeployedDetector(copy.deepcopy(detector), scale, shift).eval()
    example = (torch.zeros(1, 3, 384, 640),)
    torch.onnx.export(
        deployed, example, str(path), input_names=["x"], output_names=["y"], opset_version=17, dynamo=False, dynamic_axes=NAMES
    )
    onnx.checker.check_model(str(path))


def fit_calibration(logits, is_plate):
    """Scale and shift of a logistic regression of `is_plate` on `logits` (Platt), by Newton's method."""
    x, y = np.asarray(logits, float), np.asarray(is_plate, float)
    scale, shift = 1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-(scale * x + shift)))
        weight = np.maximum(p * (1 - p), 1e-9)
        design = np.stack([x, np.ones_like(x)])
        slope = design @ (y - p)
        step = np.linalg.solve((design * weight) @ design.T + 1e-6 * np.eye(2), slope)
        scale, shift = scale + step[0], shift + step[1]
        if np.abs(step).max() < 1e-8:
            break
    return float(scale), float(shift)


def calibration_pairs(runner, data, split="val"):
    """Logits of all candidates of a split, and whether each is a plate; those that nobody can judge are left out."""
    logits, truths = [], []
    for scene in read_split(data, split):
        picture = cv2.imread(str(data / scene.name))
        for candidate, verdict in matched(scene, runner.detect(picture, LEAST_LOGIT)):
            if verdict != "unjudged":
                logits.append(candidate.logit)
                truths.append(verdict == "plate")
    return logits, truths


def _range_inputs(data, work, seed):
    """Letterboxed training photographs, half of them at the default size and half larger."""
    kept = [photograph for photograph in photographs.prepare(data, work) if photograph.boxes]
    chosen = random.Random(seed).sample(kept, RANGE_PICTURES)
    # Min-max ranges need no equal sizes, so both sizes of input serve.
    sizes = [(640, 384), (960, 544)]
    for number, photograph in enumerate(chosen):
        yield {"x": letterboxed(cv2.imread(photograph.file), sizes[number % 2])[0]}


def main():
    """The command."""
    arguments = trainer.export_arguments_of(__doc__.split("\n", 1)[0], "plate_detector").parse_args()
    torch.set_num_threads(1)
    detector = trainer.trained(PlateDetector(), arguments, "plate_detector")
    arguments.output.mkdir(parents=True, exist_ok=True)
    fp32, int8 = (arguments.output / f"plate_detector.{precision}.onnx" for precision in ("fp32", "int8"))

    write_onnx(detector, fp32)
    logits, truths = calibration_pairs(Runner(fp32), arguments.data)
    scale, shift = fit_calibration(logits, truths)
    write_onnx(detector, fp32, scale, shift)
    inputs = _range_inputs(arguments.data, arguments.work, arguments.seed)
    write_int8(fp32, int8, inputs, ("Conv", "Add", "Relu", "Resize"), KEPT_FP32)
    report = {"temperature": round(1 / scale, 4), "shift": round(shift, 4), "candidates": len(logits), "plates": int(sum(truths))}
    (arguments.output / "calibration.json").write_text(json.dumps(report) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
