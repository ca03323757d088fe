"""Hallmark: from a folder of labelled images to a classifier its owner can vouch for."""
