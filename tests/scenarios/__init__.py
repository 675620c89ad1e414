"""Labelled scenarios for anti-fraud: what honest members and fraudsters do in 18 months, and how
much of it the rules of the sample program stop or disturb.

`make scenarios` plays them against the served anti-fraud and prints the table. Nothing here reads
the rules: amounts, rates and sizes are drawn from the distributions that the docstrings state.
"""
