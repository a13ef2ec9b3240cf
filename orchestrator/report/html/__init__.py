"""``report.html``: what a run did and whether it helped, as one file that asks nobody for anything.

Two halves: ``collect`` reads a run directory into plain frozen values (``facts``), and ``page``
draws them; no drawing reads a file and no reading draws.
"""
