"""Labelling: pictures in a queue, proposals to accept, and what was answered kept at once."""
