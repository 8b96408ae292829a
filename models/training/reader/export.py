"""Exports trained weights: `python -m reader.export --data DIR --work DIR --models DIR --output DIR`.

A temperature is fitted on those validation crops first whose marks no weights
were ever taught, cut by the detector's corners, so that the probability
of a mark is one; then come `plate_reader_64x160.{fp32,int8}.onnx`.
"""

import copy
import json
import math
import random

import numpy as np
import onnx
import torch
import torch.nn.functional as functional

import places
import trainer
from detector.runner import Runner
from quantise import write_int8

from . import crops
from .network import ALPHABET, PLACES, DeployedReader, PlateReader, normalised
from .samples import LEVEL_MARGIN, UPRIGHT_MARGIN, box_corners, cut, grown

RANGE_PATCHES = 120
# What is left of wrong ones among the validation labels, and what a read then gives the label.
_WRONG_LABELS, _CHANCE_IF_WRONG = 0.05, 1e-4
# Their pictures show other marks than the labels say (two letters changed round, the first one lost): looked at by eye.
_MISLABELLED = ("ocr/images/01058.jpg", "ocr/images/01082.jpg", "ocr/images/01321.jpg", "ocr/images/01424.jpg", "ocr/images/03243.jpg", "ocr/images/03256.jpg")
_TWINS = {"O": "0", "I": "1"}
_CLASS = {char: index + 1 for index, char in enumerate(ALPHABET)}


def _shapes(text):
    return torch.tensor([_CLASS[_TWINS.get(char, char)] for char in text])


def folded(probabilities):
    """Probabilities (80, 37) with those of O added to 0 and of I to 1."""
    into = torch.arange(len(ALPHABET) + 1)
    for letter, digit in _TWINS.items():
        into[_CLASS[letter]] = _CLASS[digit]
    return torch.zeros_like(probabilities).index_add_(-1, into, probabilities)


def chance_of(probabilities, shapes):
    """The probability of a text, given as classes, under place probabilities (80, 37): the sum over all its paths."""
    paths = probabilities.clamp_min(1e-9).log()[:, None]
    lengths = torch.tensor([PLACES]), torch.tensor([len(shapes)])
    return math.exp(-functional.ctc_loss(paths, shapes[None], *lengths, reduction="none").item())


def patch_of(picture, box, corners=None):
    """The patch of a BGR picture that the daemon cuts by a plate's corners (4, 2), or around its upright box."""
    grey = (picture.astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32)).round().astype(np.uint8)
    around = grown(box_corners(box), *UPRIGHT_MARGIN) if corners is None else grown(np.array(corners), *LEVEL_MARGIN)
    return cut(grey, around)[0]


def fit_temperature(logits, texts):
    """The temperature at which the truth is likeliest: least negative logarithm of the marks' probabilities.

    The probability of a mark is that of all paths that spell it (CTC), O and 0,
    I and 1 taken as one, as grammar decides between them later.  A share of the
    labels is wrong; a truth that the reader gives next to nothing counts no more
    than such a label does.
    """
    shapes = [_shapes(text) for text in texts]

    def surprise(temperature):
        chances = torch.tensor([chance_of(folded((logit / temperature).softmax(-1)), shape) for logit, shape in zip(logits, shapes)])
        return -((1 - _WRONG_LABELS) * chances + _WRONG_LABELS * _CHANCE_IF_WRONG).log().mean().item()

    return min((float(value) for value in np.geomspace(0.4, 2.5, 51)), key=surprise)


def write_onnx(reader, path, temperature):
    """Writes fp32 weights; any number of patches a run."""
    deployed = DeployedReader(copy.deepcopy(reader), temperature).eval()
    # Two, so that no side is taken for one that never changes.
    example = (torch.zeros(2, 1, 64, 160),)
    torch.onnx.export(deployed, example, str(path), input_names=["x"], output_names=["y"], opset_version=17, dynamo=False, dynamic_axes={"x": {0: "plates"}, "y": {0: "plates"}})
    onnx.checker.check_model(str(path))


def _range_inputs(kept, seed):
    for crop in random.Random(seed).sample(kept, RANGE_PATCHES):
        grey = crops.load(crop)
        around = grown(box_corners(crop.box), *UPRIGHT_MARGIN) if crop.corners is None else grown(np.array(crop.corners), *LEVEL_MARGIN)
        patch, _ = cut(grey, around)
        yield {"x": patch[None, None].astype(np.float32)}


def main():
    """The command."""
    parser = trainer.export_arguments_of(__doc__.split("\n", 1)[0], "plate_reader")
    parser.add_argument("--models", type=places.models_folder, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reader = trainer.trained(PlateReader(), arguments, "plate_reader")
    logits, texts = [], []
    finder, taught = Runner(arguments.models / "plate_detector.int8.onnx", crops.DETECTOR_SIZE), crops.taught_before(arguments.data)
    for name, picture, box, text, _ in crops.labelled(arguments.data, "val"):
        if name not in _MISLABELLED and text.translate(crops.FOLDED) not in taught and all(char in ALPHABET for char in text):
            with torch.no_grad():
                patch = torch.from_numpy(patch_of(picture, box, crops.corners_by(finder, picture, box)))
                logits.append(reader(normalised(patch[None])).float()[0])
            texts.append(text)
    assert logits and logits[0].shape == (PLACES, len(ALPHABET) + 1)
    temperature = fit_temperature(logits, texts)
    arguments.output.mkdir(parents=True, exist_ok=True)
    fp32, int8 = (arguments.output / f"plate_reader_64x160.{precision}.onnx" for precision in ("fp32", "int8"))
    write_onnx(reader, fp32, temperature)
    kept = crops.prepare(arguments.data, arguments.work, arguments.models)
    # The products of attention stay fp32: both their sides change from patch to patch.
    attention = tuple(f"/reader/enc.{layer}/MatMul" for layer in range(len(reader.enc)))
    write_int8(fp32, int8, _range_inputs(kept, arguments.seed), ("Conv", "Add", "Relu", "MatMul"), attention)
    print(json.dumps({"temperature": round(temperature, 3), "validation_crops": len(texts)}))


if __name__ == "__main__":
    main()
