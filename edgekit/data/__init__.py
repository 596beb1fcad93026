"""Labelled pictures for evaluation, calibration and verification. No torch."""

from edgekit.data.layouts import load_dataset
from edgekit.data.sample import Dataset, Sample, sample_evenly
from edgekit.data.synthetic import PATTERNS, made_pictures

__all__ = ["PATTERNS", "Dataset", "Sample", "load_dataset", "made_pictures", "sample_evenly"]
