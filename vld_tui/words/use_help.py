"""Help of the options that use a trained run: the command line and the dashboard show it."""

from __future__ import annotations

from typing import Final

ARM: Final = "Predictor to use, such as averaged."
AT: Final = "Network to use: at the selected step (best) or at the last one."
TOP: Final = "Classes to list, most probable first."
OOD: Final = (
    "Score how unlike the training images each image is: maximum softmax probability (msp) or "
    "energy. Images that score higher than 95% of the validation images are marked."
)
MIN_PROBABILITY: Final = "Report images below this probability as unsure, without a class."
INTO: Final = (
    "Copy the images into DIR/CLASS; unsure ones into DIR/_unsure. Existing files are kept."
)
DATA: Final = "Data set name (see vld data ls), or labelled folder, table or archive of images."
DOMAIN: Final = "Only this domain."
CLASS_MAP: Final = (
    "Class of the data that has another name in the run: OLD=NEW. OLD= leaves out its images."
)
QUANTILE: Final = (
    "An image is a suspect if its score reaches this quantile of the scores that wrong labels "
    "would have. Lower values find more images."
)
NEAR: Final = (
    "Show near-duplicates whose 64-bit perceptual hashes differ by at most this many bits; 0: "
    "only identical files."
)
FORM: Final = (
    "Form: timm (folder for timm.create_model), onnx (ONNX file), pt2 (torch.export file) or hub "
    "(folder with a model card for the Hugging Face Hub)."
)
FOLDER: Final = "Folder to create."
FORCE: Final = "Replace DIR if it contains an unchanged export and nothing else."
PUSH: Final = (
    "With --to hub: upload to this repository of the Hugging Face Hub. A new repository is private."
)
