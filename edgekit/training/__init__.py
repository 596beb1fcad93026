"""Everything that needs torch and is not a net: checkpoints now."""
