"""A SQLite file that is closed while threads of this process use it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from chronoq.adapters.sqlite import open_backend
from chronoq.adapters.sqlite.queue import SqliteQueue
from chronoq.adapters.sqlite.step import Step
from chronoq.domain.errors import BackendError
from chronoq.domain.job import Job
from chronoq.testing.contracts.values import MAIL, NOW, add, job
from tests.servers import eventually


@pytest.mark.parametrize("jobs", [[job("late")], [job("late"), job("later")]], ids=["alone", "together"])
def test_once_a_file_is_being_closed_no_new_step_begins_and_the_one_under_way_is_finished(
    tmp_path: Path, jobs: list[Job]
) -> None:
    """Else threads that begin one step after another would keep it open for as long as they like."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    backend = open_backend(url)
    assert isinstance(backend.queue, SqliteQueue)
    data = backend.queue.data
    add(backend.queue, "first")  # which makes the queue known
    under_way, go_on = threading.Event(), threading.Event()

    def work(step: Step) -> None:
        step.queue("slow").known = 1
        under_way.set()
        assert go_on.wait(60)

    threads = [threading.Thread(target=data.write, args=(work,)), threading.Thread(target=backend.close)]
    threads[0].start()
    assert under_way.wait(60)
    threads[1].start()
    eventually(lambda: data.closed)
    go_on.set()
    with pytest.raises(BackendError, match=r"was closed\. Open it again"):
        backend.queue.submit(jobs, now=NOW)
    for thread in threads:
        thread.join()
    again = open_backend(url)
    try:
        assert again.queue.queues() == [MAIL, "slow"]
        assert again.queue.counts([MAIL], now=NOW)[0].accepted == 1
    finally:
        again.close()
