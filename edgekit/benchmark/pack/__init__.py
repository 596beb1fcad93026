"""A bench pack: models, pictures, a suite and expected answers in one zip, which a board measures without torch."""
