"""Networks in torch and einops: one small file each, with shapes."""
