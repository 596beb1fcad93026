"""Visits, counts, pictures and clips on disk, within quotas, whole after a power cut."""
