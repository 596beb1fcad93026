"""Functions that a file brings along are written out where they are called."""

from __future__ import annotations

from onnx import inliner

from edgekit.errors import ArtifactError
from edgekit.graph.foreign.refuse import in_order
from edgekit.graph.foreign.steps.work import Work


def functions(work: Work) -> None:
    """Inlines the model's own functions, and puts the nodes into an order in which they can be computed."""
    if work.model.functions:
        count = len(work.model.functions)
        work.model = inliner.inline_local_functions(work.model)
        if work.model.functions:
            raise ArtifactError(
                f"{work.where} has functions that cannot be written out.",
                got=", ".join(function.name for function in list(work.model.functions)[:5])[:200],
                expected="functions of ONNX's own operators",
                fix="inline them before (onnx.inliner), or export it again without functions",
            )
        work.tell(f"{count} functions were written out")
    for entry in [o for o in work.model.opset_import if o.domain not in ("", "ai.onnx")]:
        work.model.opset_import.remove(entry)
    work.set_nodes(in_order(list(work.graph.node)))
