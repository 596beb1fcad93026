"""Training: data augmentation, losses, targets, the loop and its journal, for every task. Needs torch."""
