"""The plate reader: its data, training, export and evaluation.

    crops      photographs of plates with their texts, as the daemon would cut them
    samples    one training patch: a drawn plate through lens and camera, or a real one
    network    the network and its loss
    train      one command, resumable
    export     ONNX, int8
    junk       places without a plate, to train and to measure on
    video      H.264 artefacts
    roadside   labelled scenes made worse
    card       the pictures of the model card
"""
