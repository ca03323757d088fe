"""The HTML pages: the report, a refusal, the pages of experiments."""
