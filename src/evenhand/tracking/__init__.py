"""What is recorded of features: neural collapse in every epoch of a tracked training, and a finished model's geometry.

Features are caught on their way into the classifier, in steps and evaluations that are made anyway. The one exception
is an exact `Tracker`: it makes a pass over all training rows after every epoch.

    tracker = Tracker(exact=False, of_points="val", seed=0)
    fit(model, method, train, val, settings, tracker=tracker, on_epoch=lambda record, model: keep(tracker.figures()))
    tracker.points_file()

    geometry = Geometry(model, train)
    for name, split in (("val", val), ("test", test)):
        predict(model, split, geometry.watch(name, split))
    geometry.record()

What is in the files that a run makes of it is said in `docs/diagnose.md`.
"""

from ._geometry import Geometry
from ._tracker import Tracker

__all__ = ["Geometry", "Tracker"]
