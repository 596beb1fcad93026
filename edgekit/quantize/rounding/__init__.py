"""Rounds weights so that the layer's output, not the weight, stays nearest: GPTQ, and what is left goes into the bias.

Rounding each weight to its nearest step ignores that inputs are correlated and, behind a ReLU, never negative. GPTQ
(Frantar et al. 2022, arXiv 2210.17323, algorithm 1) rounds one input after another and makes the inputs that are still
to come pay for the error, with the second moments of real inputs. The mean of the remaining error is taken off the
bias (Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias Correction", sec. 4.2).
"""

from __future__ import annotations

from edgekit.quantize.rounding.gather import Moments, rounder
from edgekit.quantize.rounding.gptq import Rounder

__all__ = ["Moments", "Rounder", "rounder"]
