"""Static int8 quantisation as both models need it: activations unsigned, weights signed and per channel."""

import pathlib

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class _Inputs(CalibrationDataReader):
    def __init__(self, inputs):
        self._inputs = iter(inputs)

    def get_next(self):
        return next(self._inputs, None)


def write_int8(fp32, int8, inputs, operators, kept_fp32=()):
    """Quantises an exported network.

    `inputs` are dictionaries of input tensors that set the ranges (min-max);
    `operators` the kinds to quantise; nodes whose name begins with one of
    `kept_fp32` stay as they are, and each beginning must be met.
    """
    fp32, int8 = pathlib.Path(fp32), pathlib.Path(int8)
    prepared = int8.with_suffix(".prepared")
    quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
    names = [node.name for node in onnx.load(str(prepared)).graph.node]
    for beginning in kept_fp32:
        if not any(name.startswith(beginning) for name in names):
            raise SystemExit(f"{fp32}: no node is named {beginning}…; was the network changed without its export?")
    quantize_static(
        str(prepared), str(int8), _Inputs(inputs), quant_format=QuantFormat.QDQ, per_channel=True,
        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8, op_types_to_quantize=list(operators),
        nodes_to_exclude=[name for name in names if name.startswith(tuple(kept_fp32) or ("\0",))],
        calibrate_method=CalibrationMethod.MinMax, extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
    )  # fmt: skip
    prepared.unlink()
