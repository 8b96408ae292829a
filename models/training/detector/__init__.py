"""The plate detector: its data, training, export and evaluation.

    photographs  labelled pictures, their labels mended, cached small
    lettering    signs, stickers and shop fronts: what must not be found
    scenes       one training picture: a crop with plates hung, light, faults
    network      the network, its answer's meaning, the loss
    train        one command, resumable
    export       calibrated scores, ONNX, int8
    evaluate     figures, curves and contact sheets
"""
