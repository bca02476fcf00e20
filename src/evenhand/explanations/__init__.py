"""Explanations: where a model looks, what in a text or row decides, on examples of each group."""
