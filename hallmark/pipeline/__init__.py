"""Stages as data, params, execution, code digests."""
