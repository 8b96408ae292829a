"""Exports trained weights: `python -m detector.export --data DIR --work DIR --output DIR`.

Scores are calibrated first.  The focal loss leaves them too low; a scale and
a shift of the logit, fitted on the validation split, make a score the share of
such candidates that are plates.  Both are folded into the last layer, so that
the daemon needs to know nothing of it.

Then come `plate_detector.fp32.onnx` and `plate_detector.int8.onnx`, with free
height and width (multiples of 32).  int8 is static: ranges from training
pictures (never from validation or test ones), weights per channel.
"""

import argparse
import copy
import json
import pathlib
import random

import cv2
import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from . import photographs
from .evaluate import matched, read_split
from .network import DeployedDetector, PlateDetector
from .runner import Runner, letterboxed

CALIBRATION_PICTURES = 120
# Weaker candidates are beyond any threshold that is used; there are thousands, and they would rule the fit.
LEAST_LOGIT = -3.5
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


class _Pictures(CalibrationDataReader):
    def __init__(self, inputs):
        self._inputs = iter(inputs)

    def get_next(self):
        return next(self._inputs, None)


def _calibration_inputs(data, work, seed):
    """Letterboxed training photographs, half of them at the default size and half larger."""
    kept = [photograph for photograph in photographs.prepare(data, work) if photograph.boxes]
    chosen = random.Random(seed).sample(kept, CALIBRATION_PICTURES)
    # Min-max ranges need no equal sizes, so both sizes of input serve.
    sizes = [(640, 384), (960, 544)]
    for number, photograph in enumerate(chosen):
        yield {"x": letterboxed(cv2.imread(photograph.file), sizes[number % 2])[0]}


def write_int8(fp32, int8, inputs):
    """Quantises an exported network: activations unsigned, weights signed and per channel."""
    prepared = int8.with_suffix(".prepared")
    quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
    # The answer stays fp32: scores reach from -40 to 20 and corners from -3 to 3,
    # and one 8-bit scale for both would put corners on a grid of 4 px.
    answer = [node.name for node in onnx.load(str(prepared)).graph.node if node.name.startswith(("/detector/score/", "/detector/shape/"))]
    if len(answer) != 2:
        raise SystemExit(f"the last layers of score and shape were not found by name: {answer}")
    quantize_static(
        str(prepared), str(int8), _Pictures(inputs), quant_format=QuantFormat.QDQ, per_channel=True,
        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8, op_types_to_quantize=["Conv", "Add", "Relu", "Resize"],
        calibrate_method=CalibrationMethod.MinMax, nodes_to_exclude=answer, extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
    )  # fmt: skip
    prepared.unlink()


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for the two .onnx files")
    parser.add_argument("--weights", type=pathlib.Path, help="state dict (default: WORK/plate_detector.pt)")
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    detector = PlateDetector()
    detector.load_state_dict(torch.load(arguments.weights or arguments.work / "plate_detector.pt", weights_only=True))
    detector.eval()
    arguments.output.mkdir(parents=True, exist_ok=True)
    fp32, int8 = (arguments.output / f"plate_detector.{precision}.onnx" for precision in ("fp32", "int8"))

    write_onnx(detector, fp32)
    logits, truths = calibration_pairs(Runner(fp32), arguments.data)
    scale, shift = fit_calibration(logits, truths)
    write_onnx(detector, fp32, scale, shift)
    write_int8(fp32, int8, _calibration_inputs(arguments.data, arguments.work, arguments.seed))
    report = {"temperature": round(1 / scale, 4), "shift": round(shift, 4), "candidates": len(logits), "plates": int(sum(truths))}
    (arguments.output / "calibration.json").write_text(json.dumps(report) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
