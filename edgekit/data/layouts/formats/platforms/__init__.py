"""JSON of labelling services and dataset managers."""
