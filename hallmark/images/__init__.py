"""Reading sources, packing shards, decoding pixels."""
