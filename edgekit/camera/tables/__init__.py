"""The tables of a camera's TOML: how it sees, and what is kept and told."""
