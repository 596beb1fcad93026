"""What people write in TOML: targets and recipes."""
