"""A forked child goes on with what it has inherited, whatever its parent's threads were about."""

import subprocess
import sys

import pytest

from tests.servers import Server

LOCKS = """
import os, signal, sys, threading, time
from chronoq.adapters.redis import RedisClock
from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.calls import Command
from chronoq.adapters.redis.wire import Wire

wire = Wire(Address(sys.argv[1]))
clock = RedisClock(wire)
clock.ask()
begun = threading.Barrier(2)

def hold(lock):  # as threads do for some microseconds, in which nobody forks by chance
    with lock:
        begun.wait()
        time.sleep(60)

lock = {"clock": clock._telling, "pool": wire._lines._pool._lock}[sys.argv[2]]
threading.Thread(target=hold, args=(lock,), daemon=True).start()
begun.wait()
if not (child := os.fork()):
    signal.alarm(10)
    wire.run(Command(("PING",), bytes))
    clock.now()
    wire.close()
    os._exit(0)
print(os.waitpid(child, 0)[1], flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("whose", ["clock", "pool"])
def test_a_forked_child_waits_for_no_lock_that_a_thread_of_its_parent_holds(
    valkey: Server, whose: str
) -> None:
    assert subprocess.check_output([sys.executable, "-c", LOCKS, valkey.url(), whose], text=True) == "0\n"


WAITS = """
import os, signal, sys, threading
from chronoq import Scheduler
from tests.servers import eventually

app = Scheduler(sys.argv[1])
double = app.add_task(lambda number: 2 * number, name="double")
first, second = double.enqueue(1), double.enqueue(2)
threading.Thread(target=first.result, daemon=True).start()
ear = app.backend.queue.ear
eventually(lambda: ear._channels and ear._alone.locked())  # its listener waits for an answer, with the ear's lock held
come, go = os.pipe()
if not (child := os.fork()):
    signal.alarm(20)
    threading.Thread(target=lambda: (eventually(lambda: app.client.listener.waiting), os.write(go, b"."))).start()
    answer = second.result()
    os._exit(answer)
os.read(come, 1)  # the child waits
worker = app.worker()
worker.start()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""


def test_a_forked_child_hears_how_a_job_ends_although_its_parent_was_listening(valkey: Server) -> None:
    """The thread that listens has stayed behind."""
    assert subprocess.check_output([sys.executable, "-c", WAITS, valkey.url()], text=True) == "4\n"
