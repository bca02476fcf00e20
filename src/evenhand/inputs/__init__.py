"""Inputs of a split that are more than a tensor in memory: images in a cache on disk or streamed from files, text."""
