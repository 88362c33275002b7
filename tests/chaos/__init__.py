"""The chaos suite: real processes, real servers, faults on purpose; `python -m tests.chaos --help`."""
