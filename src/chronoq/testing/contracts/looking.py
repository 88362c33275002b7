"""What people look at: snapshots, pages, figures, endings."""

import pytest
from attrs import evolve

from chronoq.domain.job import ENDED, Counts, Job, Options, Pause, Priority, State
from chronoq.domain.ports import QueuePort
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LAST,
    LEASE,
    MAIL,
    MS,
    NOW,
    S,
    add,
    bring,
    jid,
    jids,
    job,
    keys,
    listed,
    seen,
    take,
    taken,
)


class Looking(Chapter):
    def test_of_an_ended_job_there_is_left_how_it_ended(self, queue: QueuePort) -> None:
        for n, where in enumerate(ENDED):
            bring(queue, where, job(where.value, options=Options(Priority.LOW)), now=NOW + n * S)
            found = seen(queue, where.value, now=NOW + HOUR - MS)
            at = NOW + n * S
            assert (found.state, found.until) == (where, at)
            assert found.job.id == jid(where.value)
            assert (found.job.task, found.job.payload) == ("send", b"")
            assert (found.job.due, found.job.enqueued_at) == (at, at)
            assert (found.worker, found.progress, found.stopping) == ("", None, False)

    def test_what_is_asked_for_is_found_in_the_order_asked(self, queue: QueuePort) -> None:
        queue.submit([job("a"), job("b", due=NOW + S), job("a", queue="other", task="else")], now=NOW)
        asked = [jid("b"), jid("ghost"), jid("a", "other"), jid("a"), jid("a", "nowhere"), jid("b")]
        found = [one and (one.job.id, one.job.task, one.state) for one in queue.get(asked, now=NOW)]
        later, here = (jid("b"), "send", State.DELAYED), (jid("a"), "send", State.READY)
        assert found == [later, None, (jid("a", "other"), "else", State.READY), here, None, later]
        assert queue.get([], now=NOW) == []

    def test_endings_are_told_in_the_order_asked(self, queue: QueuePort) -> None:
        for where in (State.DONE, State.DEAD, State.CANCELLED, State.EXPIRED):
            bring(queue, where, job(where.value, queue="other" if where is State.DONE else MAIL))
        add(queue, "live")
        asked = [
            jid("dead"),
            jid("live"),
            jid("done", "other"),
            jid("done"),
            jid("expired"),
            jid("cancelled"),
        ]
        told = [one and (one.id.key, one.state) for one in queue.endings(asked, now=NOW)]
        want = ["dead", None, "done", None, "expired", "cancelled"]
        assert told == [name and (name, State(name)) for name in want]
        assert queue.endings([], now=NOW) == []

    def test_a_thousand_endings_are_told_at_once(self, queue: QueuePort) -> None:
        names = [f"j{n}" for n in range(1_000)]
        add(queue, *names)
        queue.settle([(c, Done(str(n).encode())) for n, c in enumerate(take(queue, 1_000))], now=NOW)
        assert [one and one.result for one in queue.endings(jids(names), now=NOW)] == [
            str(n).encode() for n in range(1_000)
        ]

    def test_figures_count_every_place_and_every_ending(self, queue: QueuePort) -> None:
        """Q10"""
        n = 0
        for times, where in enumerate((State.DEAD, *ENDED), start=1):
            for _ in range(times):
                bring(queue, where, job(f"j{(n := n + 1)}"))
        add(queue, *(f"run{n}" for n in range(5)))
        take(queue, 5)
        add(queue, *(f"ready{n}" for n in range(6)))
        queue.submit([job(f"later{n}", due=NOW + HOUR) for n in range(7)], now=NOW)
        want = Counts(
            MAIL, delayed=7, ready=6, running=5, dead=1, accepted=28, done=2, cancelled=3, expired=4
        )
        assert queue.counts([MAIL], now=NOW) == [want]

    def test_figures_are_those_of_each_queue_that_was_asked_for(self, queue: QueuePort) -> None:
        queue.submit([job("a", queue="one"), job("b", queue="two"), job("c", queue="two")], now=NOW)
        queue.pause("one", Pause("later", NOW + S))
        figures = queue.counts(["two", "none", "one"], now=NOW)
        assert figures == [
            Counts("two", ready=2, accepted=2),
            Counts("none"),
            Counts("one", ready=1, accepted=1, pause=Pause("later", NOW + S)),
        ]
        assert queue.counts([], now=NOW) == []

    def test_a_pause_is_seen_until_it_is_resumed(self, queue: QueuePort) -> None:
        queue.pause(MAIL, Pause("nächtliche Wartung"))
        assert queue.counts([MAIL], now=NOW)[0].pause == Pause("nächtliche Wartung")
        queue.resume(MAIL)
        assert queue.counts([MAIL], now=NOW)[0].pause is None

    def test_counters_last_when_the_jobs_are_forgotten(self, queue: QueuePort) -> None:
        """Q10"""
        bring(queue, State.DONE)
        (counts,) = queue.counts([MAIL], now=NOW + 48 * HOUR)
        assert (counts.accepted, counts.done) == (1, 1)

    def test_all_queues_that_were_ever_used_are_known_by_name(self, queue: QueuePort) -> None:
        assert queue.queues() == []
        queue.submit(
            [job("a", queue="two"), job("a", queue="one"), job("b", queue="two", due=NOW + S)], now=NOW
        )
        bring(queue, State.DONE, job("a", queue="three"))
        assert queue.queues() == ["one", "three", "two"]

    def test_delayed_jobs_are_listed_by_due_time(self, queue: QueuePort) -> None:
        queue.submit([job(key, due=NOW + n * S) for n, key in enumerate("cabd", start=1)], now=NOW)
        queue.cancel([jid("b")], now=NOW)
        assert listed(queue, State.DELAYED) == ["c", "a", "d"]

    def test_ended_jobs_are_listed_the_latest_first(self, queue: QueuePort) -> None:
        for n, key in enumerate("cabd"):
            bring(queue, State.DONE, job(key), now=NOW + n * S)
            bring(queue, State.EXPIRED, job(f"x{key}"), now=NOW + n * S)
        assert listed(queue, State.DONE, now=NOW + HOUR - S) == ["d", "b", "a", "c"]
        assert listed(queue, State.EXPIRED, now=NOW + HOUR - S) == ["xd", "xb", "xa", "xc"]
        assert listed(queue, State.DONE, now=NOW + HOUR + S) == ["d", "b"]

    def test_an_id_that_ended_twice_is_listed_once(self, queue: QueuePort) -> None:
        bring(queue, State.EXPIRED)
        bring(queue, State.DONE, now=NOW + HOUR)
        assert listed(queue, State.DONE, now=NOW + HOUR) == ["a"]
        assert listed(queue, State.EXPIRED, now=NOW + HOUR) == []

    @pytest.mark.parametrize("where", State)
    @pytest.mark.parametrize("limit", [1, 7, 100])
    def test_page_by_page_every_job_is_seen_once(self, queue: QueuePort, where: State, limit: int) -> None:
        names = [f"j{n:02}" for n in range(21)]
        due = NOW + HOUR if where is State.DELAYED else NOW
        queue.submit(
            [job(key, due=due, options=Options(Priority(n % 4))) for n, key in enumerate(names)], now=NOW
        )
        if where in (State.RUNNING, *LAST):
            claims = take(queue, 50)
            if where in LAST:
                queue.settle([(claim, LAST[where]) for claim in claims], now=NOW)
        found = listed(queue, where, limit=limit)
        assert sorted(found) == names
        for other in State:
            assert other is where or queue.find(MAIL, other, now=NOW).items == ()
        assert queue.find("other", where, now=NOW).items == ()

    @pytest.mark.parametrize("where", State)
    def test_a_page_shows_what_get_shows(self, queue: QueuePort, where: State) -> None:
        bring(queue, where, job(options=Options(Priority.HIGH, meta=b"{}")))
        page = queue.find(MAIL, where, now=NOW)
        assert list(page.items) == queue.get([jid()], now=NOW)
        assert page.mark == ""

    def test_a_thousand_jobs_are_listed_in_order(self, queue: QueuePort) -> None:
        names = [f"j{n:04}" for n in range(1_000)]
        queue.submit([job(key, due=NOW + S) for key in names], now=NOW)
        assert listed(queue, State.DELAYED, limit=300) == names
        queue.promote([MAIL], now=NOW + S, limit=1_000)
        assert listed(queue, State.READY, limit=300) == names
        queue.settle([(claim, Done()) for claim in take(queue, 1_000, now=NOW + S)], now=NOW + S)
        assert sorted(listed(queue, State.DONE, limit=300)) == names

    def test_looking_changes_nothing(self, queue: QueuePort) -> None:
        queue.submit([job("a"), job("b", due=NOW + S), job("c")], now=NOW)
        claim = taken(queue)
        far = NOW + 48 * HOUR
        for where in State:
            queue.find(MAIL, where, now=far)
        queue.get(jids("abc"), now=far)
        queue.endings(jids("abc"), now=far)
        queue.counts([MAIL], now=far)
        assert queue.extend([evolve(claim)], lease=LEASE, now=NOW) != []
        assert (listed(queue, State.DELAYED), listed(queue, State.READY)) == (["b"], ["c"])
        assert keys(take(queue, 5)) == ["c"]

    def test_a_finished_attempt_leaves_no_worker_behind(self, queue: QueuePort) -> None:
        claim = taken(queue)
        queue.settle([(claim, LAST[State.DEAD])], now=NOW)
        found = seen(queue)
        assert (found.failure, found.progress, found.stopping) == (FAILED, None, False)

    def test_a_job_that_never_ran_has_no_history(self, queue: QueuePort) -> None:
        fresh: Job = job()
        queue.submit([fresh], now=NOW)
        found = seen(queue)
        assert (found.job, found.attempt, found.token, found.crashes, found.worker) == (fresh, 0, 0, 0, "")
        assert (found.failure, found.reason, found.progress, found.stopping) == (None, "", None, False)
