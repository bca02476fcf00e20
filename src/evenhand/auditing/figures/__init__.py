"""The figures of an audit with their intervals, from counts or from scores, and what is best and worst of them."""
