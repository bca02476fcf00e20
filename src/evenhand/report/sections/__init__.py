"""The parts of a page: `sections/NAME.py` holds `sections(found: Found) -> list[Section]`, empty where nothing is."""
