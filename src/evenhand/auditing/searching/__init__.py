"""The search for the worst slices, which nobody named, among combinations of columns."""
