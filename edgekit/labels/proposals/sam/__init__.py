"""Segment Anything from two files: an image encoder and a mask decoder, in the layouts that exporters write."""
