"""What tools call the folders that they put pictures or labels in, and what lies around such a folder."""

from __future__ import annotations

from pathlib import Path

from edgekit.vision.find import holds_pictures

PARTS = frozenset(  # never classes
    {"images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "frames", "annotations", "labels", "data"}
    | {
        "obj_train_data",
        "obj_valid_data",
        "obj_test_data",
        "obj_validation_data",
        "annotation",
        "ann",
        "anns",
        "annots",
    }
    | {"xmls", "xml", "label", "default", "json", "jsons", "txt", "boxes", "imagesets", "main"}
)


def root_of(file: Path) -> Path:
    """The folder of a label file's pictures: its own, or the one above where it lies in a folder of labels."""
    folder = file.parent
    while folder.name.casefold() in PARTS and folder.parent != folder and not holds_pictures(folder):
        folder = folder.parent
    return folder
