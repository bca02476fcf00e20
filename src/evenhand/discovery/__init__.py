"""Candidate hidden groups, found without any group label.

    source = looking.at_run(run, data)                    features and predictions of train and val
    found = discover(source, kinds.make("clusters"))      groups, worst first, and a score of each row
    found.table()                                         what `train --groups-from` and `audit` read

`kinds` hold the ways of finding groups; they are given features, labels and predictions, and nothing else. `looking`
gathers those, `ranking` says how the model fares in each group, `examples`, `quoting` and `sheet` show what is in it,
and `judging` compares with known attributes, where there are any, after everything is found.
"""
