"""The boards edgekit knows, one TOML each; read through `edgekit.config.load_target`."""
