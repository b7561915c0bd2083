"""Search strategies over an ask-and-score interface, and the Pareto front they report."""
