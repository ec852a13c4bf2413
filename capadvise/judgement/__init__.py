"""Every judgement: from one check to a need, from needs to sets, from trials to what is proven.

All of it is pure, values in and values out, and may be imported. ``judge`` is one check, ``decide``
is a whole recording, ``proven`` is what trials make of its proposal; a ``report.Report`` holds all.
"""
