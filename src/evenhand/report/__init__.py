"""Pages: what runs, comparisons, audits, diagnoses and discoveries say, in one file that needs nothing else.

`summarize` turns a folder into a plain dict (`report.json`), `render` turns that dict into HTML. `sections/NAME.py`
writes one part of the page from what the folder holds, or nothing. Nothing here imports torch.
"""
