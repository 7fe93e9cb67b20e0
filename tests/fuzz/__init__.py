"""Fuzzers: the tests give them a small budget, ``python -m tests.fuzz.<module>`` as large a one as one likes."""
