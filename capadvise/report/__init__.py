"""The report: one file for machines, one page for people."""
