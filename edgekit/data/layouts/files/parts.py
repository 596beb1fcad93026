"""What tools call the folders that they put pictures or labels in."""

from __future__ import annotations

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
