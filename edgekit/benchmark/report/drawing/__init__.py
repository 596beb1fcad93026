"""Charts as SVG: no report is known here."""
