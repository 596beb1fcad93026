"""What a detector by peaks reads its boxes from, whose largest values are not to be clipped."""

from __future__ import annotations

from edgekit.graph.lint.graph import Graph, operand

UPWARDS = ("Resize", "ConvTranspose")


def read_for_peaks(graph: Graph) -> frozenset[str]:
    """Inputs of the convolutions of the neck and the branches, where boxes are the peaks of a map; else nothing.

    The clip of least squared error is right where a sum over a map follows, as in a classifier. A box has its score and
    its sides from a single place, whose values are the largest and rarest of all: clipped, the scores of the clearest
    insects moved by up to 0.26 (centernet-mobile at 384), with the whole range by 0.04. In the trunk the whole range is
    the worse one: there its coarser steps shift boxes.

    The neck begins where maps grow again: what a Resize or ConvTranspose leads to, and the convolutions that lead into
    that, such as laterals.
    """
    if not any(graph.producer(operand(node, i), "MaxPool") for node in graph.of_type("Equal") for i in (0, 1)):
        return frozenset()
    if next(graph.of_type("TopK"), None) is None:
        return frozenset()
    behind: set[str] = set()  # tensors
    entries: set[str] = set()  # what nodes of the neck read
    for node in graph.nodes:
        if node.op_type in UPWARDS or any(name in behind for name in node.input):
            behind.update(node.output)
            entries.update(node.input)
    found = set()
    for node in graph.of_type("Conv"):
        given = node.output[0]
        readers = [name for reader in graph.consumers(given) for name in reader.output]
        if given in behind or given in entries or any(name in entries for name in readers):
            found.add(node.input[0])
    return frozenset(found)
