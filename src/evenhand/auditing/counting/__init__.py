"""From a source to numbers: how often each combination occurs, and single rows where counts are not enough."""
