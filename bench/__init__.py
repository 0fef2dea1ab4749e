"""Benchmarks. `python -m bench` measures the server as a whole, side by side with what bounds it; each script beside
this file measures one piece and runs alone, too: `python bench/NAME.py`.

Rule kept here: what is compared is measured in one run, round by round in turn, so that a drift of the machine meets
all alike. Absolute figures are the machine's; ratios are the product's.
"""
