"""Folders and files that a command is given: there and what they should be, or an error that says what to do."""

import argparse
import pathlib


def data_folder(text):
    """The folder with the manifests and photographs."""
    folder = pathlib.Path(text)
    missing = [name for name in ("det_manifest.csv", "det_teacher.csv", "ocr_manifest.csv") if not (folder / name).is_file()]
    if missing:
        raise argparse.ArgumentTypeError(f"{folder}: {', '.join(missing)} is not there; name the folder that holds the manifests")
    return folder


def outside_folder(text):
    """A folder to write to, outside any checkout: photographs must not come into the project."""
    folder = pathlib.Path(text)
    for above in (folder.absolute(), *folder.absolute().parents):
        if (above / ".git").exists():
            raise argparse.ArgumentTypeError(f"{folder} lies in the checkout {above}; name a folder outside it, as photographs are cached there")
    return folder


def models_folder(text):
    """A folder with both weights of the detector."""
    folder = pathlib.Path(text)
    for precision in ("int8", "fp32"):
        if not (folder / f"plate_detector.{precision}.onnx").is_file():
            raise argparse.ArgumentTypeError(f"{folder}: plate_detector.{precision}.onnx is not there; `python -m detector.export` writes it")
    return folder


def weights_file(text):
    """A state dict."""
    file = pathlib.Path(text)
    if not file.is_file():
        raise argparse.ArgumentTypeError(f"{file} is not there; name a state dict, such as the plate_detector.pt that training writes")
    return file
