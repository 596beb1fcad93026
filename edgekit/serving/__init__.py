"""A page in a browser: connections with limits, who may see it, and the headers of its answers. No page is here."""
