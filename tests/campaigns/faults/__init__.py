"""What is done to a run that must not harm it, in its long form: `make faults`, or `python -m tests.campaigns.faults`.

Every module of this package has a function `rows()`, which does its worst and yields a `Row` for each figure. Some of
them take minutes; `--only NAME ...` runs those modules alone.
"""
