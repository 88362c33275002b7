"""`python -m tests.producer COUNT`: submits the jobs 0 to COUNT - 1 of `tests.faults_app`, and notes what was accepted.

Killed and started again, it goes on after the last one that it has noted; what was accepted without a note is
submitted once more under the same id.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.faults import task_of
from tests.faults_app import working


def main(count: int) -> None:
    folder = Path(os.environ["FAULTS_FOLDER"])
    app = working(folder=folder)
    work = task_of(app, "work")
    noted = os.open(folder / "accepted", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    lines = os.read(noted, 10_000_000).split()
    number = int(lines[-1]) + 1 if lines else 0
    while number < count:
        last = min(number + random.randint(1, 40), count)
        app.enqueue_many([work.using(id=f"n{n}").job(n) for n in range(number, last)])
        os.write(noted, f"{last - 1}\n".encode())
        number = last
    print("all accepted", flush=True)
    app.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
