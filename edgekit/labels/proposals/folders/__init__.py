"""Proposals for folders of present and absent: what stands out, ranked by what absent pictures do not have."""
