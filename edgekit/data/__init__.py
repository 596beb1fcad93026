"""Labelled pictures for evaluation, calibration and verification. No torch."""

from edgekit.data.hive.made import HIVE_CLASSES, HiveClip, HiveFrame, hive_pictures
from edgekit.data.likeness import near_duplicates, without_near_duplicates
from edgekit.data.load import load_dataset
from edgekit.data.sample import Dataset, Sample, sample_evenly
from edgekit.data.split import by_folder, by_pattern, split_by_group
from edgekit.data.synthetic import PATTERNS, made_pictures

__all__ = [
    "HIVE_CLASSES",
    "PATTERNS",
    "Dataset",
    "HiveClip",
    "HiveFrame",
    "Sample",
    "by_folder",
    "by_pattern",
    "hive_pictures",
    "load_dataset",
    "made_pictures",
    "near_duplicates",
    "sample_evenly",
    "split_by_group",
    "without_near_duplicates",
]
