"""Settings that people write in TOML, and the targets and recipes that edgekit ships."""
