"""Judges checks: from one check to a need, from needs to sets, from trials to what is proven.

All of it is pure, values in and values out, and may be imported. ``judge`` judges one check,
``decide`` a whole recording; ``proven`` applies what trials have shown to its proposal, and
``report.Report`` holds all.
"""
