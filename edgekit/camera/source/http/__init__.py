"""HTTP cameras: MJPEG and still pictures, taken apart here."""
