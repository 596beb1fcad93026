"""The boards edgekit knows, one TOML each; read through `edgekit.config.target.load_target`."""
