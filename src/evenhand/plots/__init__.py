"""Figures from plain numbers: every function returns a Plotly figure. Needs neither torch nor a run.

    from evenhand.plots import lines
    figure = lines({"erm": [0.1, 0.2]}, x=[1, 2], title="Worst group", x_title="epoch", y_title="accuracy")
    save(figure, Path("worst.svg"))          also .png, .html (interactive, in one file), .json

Colours can be told apart with colour-blind eyes, and every series has a dash or symbol of its own too. What is drawn on
the page and what is written for a paper is the same figure.
"""

from .basic import bars, lines, points
from .export import FORMATS, save
from .style import COLOURS, blank

__all__ = ["COLOURS", "FORMATS", "bars", "blank", "lines", "points", "save"]
