"""The model outside the pipeline: preprocessing, prediction, packaging, HTTP server."""
