"""The steps of the cleaning, one file each; `edgekit.graph.foreign.clean` has them in their order."""
