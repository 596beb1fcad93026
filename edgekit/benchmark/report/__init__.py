"""The report for people: HTML, Markdown, CSV, charts, and the comparison with an older one."""
