"""Boxes that a labeller is offered: from a detector, a segmenter that is asked, or folders of present and absent."""
