"""Recipes and model cards; read through importlib.resources as `edgekit.recipes`."""
