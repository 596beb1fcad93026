"""Reading pickles without running them: what stands for a class, what is too large, how a refusal is told."""
