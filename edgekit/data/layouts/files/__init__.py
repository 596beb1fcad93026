"""Label files wherever they lie: found, read, and joined to their pictures and splits."""
