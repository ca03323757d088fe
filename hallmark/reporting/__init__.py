"""HTML pages: the report, gate refusals and experiments."""
