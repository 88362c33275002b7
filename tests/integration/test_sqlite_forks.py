"""A process that forks while its threads use SQLite files: nobody waits for a thread that is not there."""

from __future__ import annotations

from pathlib import Path

from tests.proc import python

FORKING = """
import os, signal, sys, threading
from chronoq.adapters.sqlite import open_backend
from chronoq.domain.ports import Submitted
from chronoq.testing.contracts.values import MAIL, NOW, job
url, forks, over = f"sqlite:///{sys.argv[1]}?synchronous=off", 12, threading.Event()
shared = open_backend(url)

def add(backend, name):
    assert backend.queue.submit([job(name)], now=NOW) == [Submitted.ACCEPTED]
    os.write(1, f"accepted {name}\\n".encode())  # a line in one piece

def opening(name):
    many = 0
    while not over.is_set():
        backend = open_backend(url)
        add(backend, f"{name}-{(many := many + 1)}")
        backend.close()

def adding(name):
    many = 0
    while not over.is_set():
        add(shared, f"{name}-{(many := many + 1)}")

def forking(name):
    for n in range(forks):
        if (pid := os.fork()) == 0:
            signal.alarm(20)  # who waits for ever is told apart
            try:
                add(shared, f"{name}-{n}")
                os._exit(0)
            except BaseException as error:
                print(error, flush=True)
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0

def start(work, names):
    threads = [threading.Thread(target=work, args=(f"{work.__name__}{name}",)) for name in names]
    for thread in threads:
        thread.start()
    return threads

threading.excepthook = lambda problem: (print(problem, flush=True), os._exit(1))
busy = start(opening, "ab") + start(adding, "ab")
for thread in start(forking, "ab"):
    thread.join()
over.set()
for thread in busy:
    thread.join()
print("in all", shared.queue.counts([MAIL], now=NOW)[0].ready)
"""


def test_children_forked_by_two_threads_while_others_open_and_close_files_use_them_at_once(
    tmp_path: Path,
) -> None:
    with python("-W", "ignore", "-c", FORKING, str(tmp_path / "jobs.db")) as child:
        assert child.wait(within=60) == 0, child.err + child.out[-5:]
        accepted = {line for line in child.out if line.startswith("accepted")}
        assert child.err == []
        assert child.out[-1] == f"in all {len(accepted)}"
        assert sum("forking" in line for line in accepted) == 24
