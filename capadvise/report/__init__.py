"""The report file, and the texts that people read of it: values in, lines out. Pure, except for
``load`` and ``save``.

All of it may be imported. ``judgement.report.Report`` is the value; whatever comes from a target
passes ``escape.printable`` before it is shown.
"""
