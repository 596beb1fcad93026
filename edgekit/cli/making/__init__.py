"""Commands that make a model file: a training, an export, an adoption, an engine."""
