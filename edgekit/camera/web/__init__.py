"""The page: live picture, visits, counts, status, metrics, and who may see it."""
