"""Exports trained weights: `python -m reader.export --data DIR --work DIR --models DIR --output DIR`.

A temperature is fitted on the validation crops first, so that a character's
probability is one; then come `plate_reader_64x160.{fp32,int8}.onnx`.
"""

import copy
import json
import random

import numpy as np
import onnx
import torch

import places
import trainer
from quantise import write_int8

from . import crops
from .network import ALPHABET, PLACES, DeployedReader, PlateReader, decoded, normalised
from .samples import UPRIGHT_MARGIN, box_corners, cut, grown

RANGE_PATCHES = 120
_FOLDED = str.maketrans("OIQ", "010")


def patch_of(picture, box):
    """The patch that the daemon cuts around an upright box of a BGR picture."""
    grey = (picture.astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32)).round().astype(np.uint8)
    return cut(grey, grown(box_corners(box), *UPRIGHT_MARGIN))[0]


def fit_temperature(logits, texts):
    """The temperature at which the weakest character's probability is nearest to the share of texts read right.

    Least squares between confidence and truth over a grid; O and 0, I and 1
    count as one here, as grammar decides between them later.
    """
    best = (np.inf, 1.0)
    for temperature in np.geomspace(0.25, 4.0, 81):
        gap = 0.0
        for logit, text in zip(logits, texts):
            read, weakest = decoded(torch.softmax(logit / float(temperature), -1))
            gap += (weakest - (read.translate(_FOLDED) == text.translate(_FOLDED))) ** 2
        best = min(best, (gap, float(temperature)))
    return best[1]


def write_onnx(reader, path, temperature):
    """Writes fp32 weights."""
    deployed = DeployedReader(copy.deepcopy(reader), temperature).eval()
    example = (torch.zeros(1, 1, 64, 160),)
    torch.onnx.export(deployed, example, str(path), input_names=["x"], output_names=["y"], opset_version=17, dynamo=False)
    onnx.checker.check_model(str(path))


def _range_inputs(kept, seed):
    for crop in random.Random(seed).sample(kept, RANGE_PATCHES):
        grey = crops.load(crop).astype(np.uint8)
        patch, _ = cut(grey, grown(box_corners(crop.box), *UPRIGHT_MARGIN))
        yield {"x": patch[None, None].astype(np.float32)}


def main():
    """The command."""
    parser = trainer.export_arguments_of(__doc__.split("\n", 1)[0], "plate_reader")
    parser.add_argument("--models", type=places.models_folder, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reader = trainer.trained(PlateReader(), arguments, "plate_reader")
    logits, texts = [], []
    for _, picture, box, text, _ in crops.labelled(arguments.data, "val"):
        if all(char in ALPHABET for char in text):
            with torch.no_grad():
                logits.append(reader(normalised(torch.from_numpy(patch_of(picture, box))[None])).float()[0])
            texts.append(text)
    assert logits and logits[0].shape == (PLACES, len(ALPHABET) + 1)
    temperature = fit_temperature(logits, texts)
    arguments.output.mkdir(parents=True, exist_ok=True)
    fp32, int8 = (arguments.output / f"plate_reader_64x160.{precision}.onnx" for precision in ("fp32", "int8"))
    write_onnx(reader, fp32, temperature)
    kept = crops.prepare(arguments.data, arguments.work, arguments.models)
    # Convolutions only: attention and the answer need more than eight bits.
    write_int8(fp32, int8, _range_inputs(kept, arguments.seed), ("Conv", "Add", "Relu"), ("/reader/enc.0/",))
    print(json.dumps({"temperature": round(temperature, 3), "validation_crops": len(texts)}))


if __name__ == "__main__":
    main()
