"""Networks in torch and einops, each a small file with its shapes."""
