"""The model outside of the pipeline: preprocessing, prediction, packaging."""
