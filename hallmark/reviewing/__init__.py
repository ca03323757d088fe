"""Human review of suspect images: a local web page, and the decisions it writes."""
