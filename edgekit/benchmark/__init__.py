"""Measuring models side by side: speed by stage, accuracy, robustness, memory and energy, and the report."""
