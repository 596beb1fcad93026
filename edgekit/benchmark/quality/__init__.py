"""How right a model is while it is measured: accuracy, agreement, bad pictures."""
