"""A store that was damaged by hand, key by key, and what a sweep makes of it (L6). A chapter for Redis servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event, Thread

import pytest
import redis
from attrs import evolve

from chronoq.domain.firing import fire
from chronoq.domain.identity import JobId
from chronoq.domain.job import LIVE, Options, Pause, Priority, State
from chronoq.domain.ports import Backend, Fired, QueuePort, Submitted
from chronoq.domain.retry import RetryPolicy
from chronoq.domain.schedule import Overlap, planned
from chronoq.domain.sweep import LOST_PLACE, LOST_RECORD, Mended, Swept
from chronoq.domain.verdict import Dead, Done, Retry, Snooze, before_start
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LEASE,
    MAIL,
    NOW,
    TICK,
    S,
    accounts_balance,
    add,
    bring,
    jid,
    job,
    keys,
    listed,
    schedule,
    seen,
    send,
    state,
    take,
    taken,
)

KEY = f"contract:{{{MAIL}}}:"
ONCE = Options(retry=RetryPolicy(retries=0))
Step = Callable[..., Swept]


def one_round(step: Step, *, now: datetime = NOW, limit: int = 500) -> list[Mended]:
    """All steps of a round of one port."""
    mended: list[Mended] = []
    mark = ""
    for _ in range(20_000):
        swept = step(MAIL, now=now, mark=mark, limit=limit)
        mended += swept.mended
        mark = swept.mark
        if not mark:
            return mended
    raise AssertionError("the round never came to an end")


def sweep(backend: Backend, *, now: datetime = NOW, limit: int = 500) -> list[Mended]:
    """Rounds until there is nothing to mend any more; what was mended."""
    mended: list[Mended] = []
    for _ in range(10):
        more = one_round(backend.queue.sweep, now=now, limit=limit)
        more += one_round(backend.store.sweep, now=now, limit=limit)
        if not more:
            accounts_balance(backend)
            return mended
        mended += more
    raise AssertionError(f"it never became sound: {more}")


def whats(mended: Sequence[Mended]) -> set[tuple[str, str]]:
    return {(one.what.value, one.key) for one in mended}


def drain(queue: QueuePort, *, now: datetime) -> list[str]:
    """Run everything that can be run; the keys of what was."""
    ran: list[str] = []
    for _ in range(100):
        verdicts = [(one, Retry(now, FAILED, crash=True)) for one in queue.expired([MAIL], now=now, limit=99)]
        queue.settle(verdicts, now=now)
        claims = take(queue, 99, now=now)
        if not claims:
            return ran
        queue.settle([(one, before_start(one, now=now) or Done()) for one in claims], now=now)
        ran += keys(claims)
    raise AssertionError("there is no end to it")


def fill(backend: Backend) -> list[str]:
    """Jobs in every place, with all that belongs to them, and a schedule that is held back by its run."""
    queue, store = backend.queue, backend.store
    for n in range(3):
        bring(queue, State.DEAD, job(f"dead{n}"))
    for n in range(3):
        bring(queue, State.RUNNING, job(f"run{n}"))
    queue.cancel([jid("run0")], now=NOW)
    later = [job(f"later{n}", due=NOW + HOUR, options=Options(Priority(n))) for n in range(4)]
    ready = [job(f"ready{n}", options=Options(Priority(n % 4))) for n in range(8)]
    queue.submit(later + ready, now=NOW)
    queue.cancel([jid("ready1"), jid("ready2")], now=NOW)
    plan = schedule(overlap=Overlap.QUEUE_ONE)
    assert store.put(plan, cursor=planned(None, plan, now=NOW)[1], expected=None, now=NOW)
    for minute in (1, 2):
        dues, _ = store.due([MAIL], now=NOW + minute * 60 * S, limit=9)
        assert store.fire([fire(due, now=NOW + minute * 60 * S) for due in dues], fence=1, now=NOW) == [
            Fired.YES
        ]
    runs = [id.key for id in store.live(TICK)]
    return (
        [f"dead{n}" for n in range(3)]
        + [f"run{n}" for n in range(3)]
        + [f"later{n}" for n in range(4)]
        + [f"ready{n}" for n in (0, 3, 4, 5, 6, 7)]
        + runs
    )


def contents(client: redis.Redis) -> dict[bytes, object]:
    read: dict[bytes, Callable[[bytes], object]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    return {key: read[client.type(key)](key) for key in client.scan_iter()}


PARTS = (
    *(
        "jobs",
        "delayed",
        "leases",
        "dead",
        "claims",
        "notes",
        "progress",
        "stops",
        "skips",
        "stats",
        "recent",
    ),
    *("ready:0", "ready:1", "ready:2", "ready:3", "schedules", "cursors", "dues", "runs:tick", "ledger:tick"),
    *("failures", "fence", "wake:work", "wake:time", "paused"),
)


class Damage:
    """Needs the fixtures `backend`, an empty one, and `client`, which reaches what is stored."""

    @pytest.mark.parametrize("limit", [1, 7, 500])
    def test_what_is_sound_is_left_as_it_is(self, backend: Backend, client: redis.Redis, limit: int) -> None:
        fill(backend)
        before = contents(client)
        assert sweep(backend, limit=limit) == []
        assert contents(client) == before

    def test_a_queue_that_never_was_stays_so(self, backend: Backend, client: redis.Redis) -> None:
        assert sweep(backend) == []
        assert client.keys() == []

    @pytest.mark.parametrize("limit", [1, 500])
    @pytest.mark.parametrize("part", PARTS)
    def test_whatever_key_is_deleted_each_job_runs_or_lies_in_the_dead_letters(
        self, backend: Backend, client: redis.Redis, part: str, limit: int
    ) -> None:
        """Q1, Q10, L6"""
        known = fill(backend)
        client.delete(KEY + part)
        sweep(backend, limit=limit)
        live = {
            key
            for place in (State.DELAYED, State.READY, State.RUNNING, State.DEAD)
            for key in listed(backend.queue, place)
        }
        assert live == set(known)
        ran = drain(backend.queue, now=NOW + HOUR)
        sweep(backend, now=NOW + HOUR, limit=limit)
        for key in known:
            found = backend.queue.get([jid(key)], now=NOW + HOUR)[0]
            assert found, key
            assert found.state in (State.DONE, State.DEAD, State.CANCELLED), found
            if found.state is State.DEAD and part != "notes":
                assert found.failure, key
        if part != "jobs":
            assert len(ran) == len(set(ran))
            assert not {"ready1", "ready2"} & set(ran), "what was cancelled never starts"
        (stored,) = backend.store.get([TICK])
        if part == "schedules":
            assert stored is None or stored.defect
            return
        assert stored
        assert not stored.defect
        dues, _ = backend.store.due([MAIL], now=NOW + 2 * HOUR, limit=9)
        assert [due.stored.id for due in dues] == [TICK]

    @pytest.mark.parametrize("part", ["jobs", "delayed", "leases", "dead", "ready:2", "skips"])
    def test_whatever_entry_is_lost_the_others_stay_where_they_are(
        self, backend: Backend, client: redis.Redis, part: str
    ) -> None:
        """Q1, L6"""
        known = fill(backend)
        name = KEY + part
        match client.type(name):
            case b"hash":
                victim = next(iter(client.hkeys(name)))
                client.hdel(name, victim)
            case b"zset":
                victim = client.zrange(name, 0, 0)[0]
                client.zrem(name, victim)
            case b"set":
                client.srem(name, next(iter(client.smembers(name))))
            case _:
                victim = next(key for key in client.lrange(name, 0, -1) if key.decode() in known)
                client.lrem(name, 0, victim)
        assert len(whats(sweep(backend))) == 1
        assert len({*known}) == sum(len(listed(backend.queue, place)) for place in LIVE)

    def test_a_job_that_stands_nowhere_waits_again_and_says_why(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        add(backend.queue, "a", "b")
        client.lrem(KEY + "ready:2", 0, "a")
        client.delete(KEY + "wake:work")
        assert whats(sweep(backend)) == {("replaced", "a")}
        assert seen(backend.queue, "a").state is State.READY
        assert seen(backend.queue, "a").reason == LOST_PLACE
        assert client.llen(KEY + "wake:work") == 1
        assert backend.queue.counts([MAIL], now=NOW)[0].mended == 1
        assert keys(take(backend.queue, 9)) == ["b", "a"]

    def test_a_job_that_is_not_due_yet_does_not_start_early(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        """Q9"""
        backend.queue.submit(
            [job("a", due=NOW + HOUR, options=Options(Priority.LOW)), job("z", due=NOW + S)], now=NOW
        )
        client.zrem(KEY + "delayed", "3a")
        client.delete(KEY + "wake:time")
        assert whats(sweep(backend)) == {("replaced", "a")}
        assert client.llen(KEY + "wake:time") == 1
        assert keys(take(backend.queue, 9, now=NOW + HOUR - S)) == ["z"]
        assert keys(take(backend.queue, 9, now=NOW + HOUR)) == ["a"]

    def test_a_dead_letter_that_stands_nowhere_is_dead_again(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        bring(backend.queue, State.DEAD, job("a", options=ONCE))
        bring(backend.queue, State.DEAD, job("b"))
        client.delete(KEY + "dead")
        assert whats(sweep(backend)) == {("replaced", "a"), ("replaced", "b")}
        assert state(backend.queue, "a") is State.DEAD
        assert seen(backend.queue, "a").failure == FAILED
        assert state(backend.queue, "b") is State.READY, "it had attempts left"

    def test_a_running_job_that_lost_its_lease_runs_again_and_the_first_is_a_zombie(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        """Q5"""
        claim = taken(backend.queue, "a")
        client.delete(KEY + "leases")
        assert whats(sweep(backend)) == {("replaced", "a")}
        assert backend.queue.settle([(claim, Done())], now=NOW) == [False]
        assert taken(backend.queue, "a").token == claim.token + 1

    @pytest.mark.parametrize("where", [State.DELAYED, State.READY])
    def test_a_waiting_job_without_a_record_is_buried_at_once(
        self, backend: Backend, client: redis.Redis, where: State
    ) -> None:
        bring(backend.queue, where, job("a"))
        client.hdel(KEY + "jobs", "a")
        backend.queue.pause(MAIL, Pause("for now"))
        assert whats(sweep(backend)) == {("buried", "a")}
        found = seen(backend.queue, "a")
        assert (found.state, found.failure, found.until) == (State.DEAD, LOST_RECORD, NOW)
        assert LOST_RECORD.message in found.job.defect
        assert backend.queue.submit([job("a")], now=NOW) == [Submitted.DUPLICATE]
        assert backend.queue.endings([jid("a")], now=NOW)[0].failure == LOST_RECORD  # type: ignore[union-attr]
        backend.queue.resume(MAIL)
        assert backend.queue.revive([jid("a")], now=NOW) == [True]
        (claim,) = take(backend.queue, 9)
        assert isinstance(before_start(claim, now=NOW), Dead)
        send(backend.queue, claim, State.DEAD)
        assert backend.queue.purge([jid("a")], now=NOW) == [True]
        assert backend.queue.submit([job("a")], now=NOW) == [Submitted.ACCEPTED]
        assert keys(take(backend.queue, 9)) == ["a"]

    def test_a_running_job_without_a_record_can_end(self, backend: Backend, client: redis.Redis) -> None:
        claim = taken(backend.queue, "a")
        client.hdel(KEY + "jobs", "a")
        assert whats(sweep(backend)) == {("marked", "a")}
        assert backend.queue.submit([job("a")], now=NOW) == [Submitted.DUPLICATE]
        assert backend.queue.settle([(claim, Done())], now=NOW) == [True]
        assert backend.queue.counts([MAIL], now=NOW)[0].done == 1

    def test_a_cancelled_job_whose_mark_is_lost_never_starts(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        """Q8"""
        add(backend.queue, "a", "b")
        backend.queue.cancel([jid("a")], now=NOW)
        client.delete(KEY + "skips")
        assert whats(sweep(backend)) == {("cleared", "a")}
        assert state(backend.queue, "a") is State.CANCELLED
        assert keys(take(backend.queue, 9)) == ["b"]

    def test_a_mark_that_stands_for_nothing_is_dropped(self, backend: Backend, client: redis.Redis) -> None:
        add(backend.queue, "a", "b", "c")
        backend.queue.cancel([jid("a"), jid("c")], now=NOW)
        client.lrem(KEY + "ready:2", 0, "a")
        assert whats(sweep(backend, limit=1)) == {("cleared", "a")}
        assert client.smembers(KEY + "skips") == {b"c"}
        assert backend.queue.submit([job("a")], now=NOW + 2 * HOUR) == [Submitted.ACCEPTED]

    def test_jobs_of_which_nothing_is_left_are_counted(self, backend: Backend, client: redis.Redis) -> None:
        """Q10"""
        add(backend.queue, "a", "b", "c")
        client.lrem(KEY + "ready:2", 0, "a")
        client.hdel(KEY + "jobs", "a")
        swept = backend.queue.sweep(MAIL, now=NOW)
        assert (swept.mark, swept.lost, swept.mended) == ("", 1, ())
        (counts,) = backend.queue.counts([MAIL], now=NOW)
        assert (counts.accepted, counts.lost, counts.balanced) == (3, 1, True)
        assert backend.queue.sweep(MAIL, now=NOW).lost == 0

    def test_books_that_are_lost_are_begun_anew(self, backend: Backend, client: redis.Redis) -> None:
        """Q10"""
        add(backend.queue, "a", "b", "c")
        send(backend.queue, taken(backend.queue, "a"), State.DONE)
        client.hset(KEY + "stats", mapping={"accepted": 0, "done": 1, "lost": 1})
        assert backend.queue.sweep(MAIL, now=NOW).lost == -4
        (counts,) = backend.queue.counts([MAIL], now=NOW)
        assert (counts.accepted, counts.lost, counts.balanced) == (3, 0, True)

    def test_damage_that_evens_itself_out_is_found_too(self, backend: Backend, client: redis.Redis) -> None:
        """L6"""
        add(backend.queue, "a", "b", "c")
        client.hdel(KEY + "jobs", "a")
        client.lrem(KEY + "ready:2", 0, "b")
        assert whats(sweep(backend)) == {("buried", "a"), ("replaced", "b")}

    def test_what_belongs_to_no_job_is_removed(self, backend: Backend, client: redis.Redis) -> None:
        claim = taken(backend.queue, "a")
        add(backend.queue, "b")
        for part in ("claims", "notes", "progress"):
            client.hset(KEY + part, "ghost", "1:0:0:w")
        client.sadd(KEY + "stops", "ghost", "a", "b")
        assert whats(sweep(backend)) == {("cleared", "ghost")}
        for part in ("claims", "notes", "progress"):
            assert not client.hexists(KEY + part, "ghost")
        assert client.smembers(KEY + "stops") == {b"a", b"b"}
        assert backend.queue.settle([(claim, Done())], now=NOW) == [True]

    def test_every_part_of_a_long_queue_is_looked_at(self, backend: Backend, client: redis.Redis) -> None:
        many = [job(f"j{n}", options=Options(Priority(n % 4)), due=NOW + (n % 3) * HOUR) for n in range(900)]
        backend.queue.submit(many, now=NOW)
        for key in ("j0", "j399", "j897"):
            client.hdel(KEY + "jobs", key)
        for key in ("j1", "j400", "j898"):
            client.zrem(KEY + "delayed", *(f"{p}{key}" for p in range(4)))
        for lane in range(4):
            client.lrem(KEY + f"ready:{lane}", 0, "j300")
        want = {("buried", key) for key in ("j0", "j399", "j897")}
        want |= {("replaced", key) for key in ("j1", "j400", "j898", "j300")}
        assert whats(sweep(backend, limit=50)) == want

    # what moves while a round is under way

    def test_a_job_that_moves_while_it_is_looked_for_is_left_alone(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        """Q1"""
        queue = backend.queue
        add(queue, *"abcdef")
        client.lrem(KEY + "ready:2", 0, "b")
        mark = ""
        while '"suspects"' not in mark or '"collecting"' in mark:
            mark = queue.sweep(MAIL, now=NOW, mark=mark, limit=2).mark
        mark = queue.sweep(MAIL, now=NOW, mark=mark, limit=2).mark  # the tail is passed
        (claim,) = take(queue)
        assert claim.id == jid("a")
        queue.settle([(claim, Retry(NOW, FAILED))], now=NOW)  # behind the back of the walk
        mended: list[Mended] = []
        while mark:
            swept = queue.sweep(MAIL, now=NOW, mark=mark, limit=2)
            mended, mark = [*mended, *swept.mended], swept.mark
        assert whats(mended) == {("replaced", "b")}
        assert sorted(keys(take(queue, 99))) == list("abcdef")

    def _suspecting(self, backend: Backend, client: redis.Redis) -> str:
        """The mark of a round that suspects a, which was lost, and is about to put it back."""
        add(backend.queue, "a", "b")
        client.lrem(KEY + "ready:2", 0, "a")
        mark = ""
        while '"suspects"' not in mark or '"collecting"' in mark:
            mark = backend.queue.sweep(MAIL, now=NOW, mark=mark).mark
        return mark

    @pytest.mark.parametrize(
        "move",
        [
            lambda client: client.zadd(KEY + "leases", {"a": 5}),
            lambda client: client.zadd(KEY + "dead", {"a": 5}),
            *(lambda client, p=p: client.zadd(KEY + "delayed", {f"{p}a": 5}) for p in range(4)),
            lambda client: client.hset(KEY + "claims", "a", "1:0:0:w"),
            lambda client: client.hincrby(KEY + "stats", "purged", 1),
        ],
        ids=["leased", "dead", "delayed0", "delayed1", "delayed2", "delayed3", "claimed", "purged"],
    )
    def test_a_suspicion_that_has_become_doubtful_is_dropped(
        self, backend: Backend, client: redis.Redis, move: Callable[[redis.Redis], object]
    ) -> None:
        mark = self._suspecting(backend, client)
        move(client)
        assert backend.queue.sweep(MAIL, now=NOW, mark=mark).mended == ()
        assert client.lrange(KEY + "ready:2", 0, -1) == [b"b"]
        client.flushall()

    def test_a_job_that_has_ended_while_it_was_looked_for_stays_so(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        mark = self._suspecting(backend, client)
        client.hdel(KEY + "jobs", "a")
        assert backend.queue.sweep(MAIL, now=NOW, mark=mark).mended == ()
        sweep(backend)

    def test_an_old_suspicion_is_dropped(self, backend: Backend, client: redis.Redis) -> None:
        mark = self._suspecting(backend, client)
        assert backend.queue.sweep(MAIL, now=NOW + 51 * S, mark=mark).mended == ()
        assert whats(sweep(backend, now=NOW + 51 * S)) == {("replaced", "a")}

    def test_sweeping_beside_everything_else_changes_nothing(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        """Q1, Q10"""
        queue, over = backend.queue, Event()
        mended: list[Mended] = []
        broken: list[BaseException] = []

        def sweeping() -> None:
            try:
                while not over.is_set():
                    # records that have a place look as if they had none, so that the long way is gone
                    mended.extend(one_round(queue.sweep, limit=20))
            except BaseException as error:
                broken.append(error)

        add(queue, "lost")
        client.lrem(KEY + "ready:2", 0, "lost")
        names = [f"j{n}" for n in range(400)]
        thread = Thread(target=sweeping)
        thread.start()
        ran: list[str] = []
        for part in range(0, 400, 20):
            queue.submit(
                [job(key, options=Options(Priority(part % 4))) for key in names[part : part + 20]], now=NOW
            )
            claims = take(queue, 9)
            verdicts = [Done(), Retry(NOW, FAILED), Snooze(NOW), Done(), Dead(FAILED), Done()]
            answers = queue.settle(list(zip(claims, verdicts, strict=False)), now=NOW)
            assert all(answers)
            ran += [
                one.id.key
                for one, verdict in zip(claims, verdicts, strict=False)
                if isinstance(verdict, Done)
            ]
            queue.release(claims[6:], now=NOW)
            queue.cancel([jid(names[part + 3])], now=NOW)
            queue.revive([one.id for one in claims[4:5]], now=NOW)
        over.set()
        thread.join(60)
        assert broken == []
        assert whats(mended) <= {("replaced", "lost")}
        ran += drain(queue, now=NOW)
        assert len(ran) == len(set(ran)), "a job stood in two places"
        sweep(backend)
        assert client.hlen(KEY + "jobs") == 0
        (counts,) = queue.counts([MAIL], now=NOW)
        assert counts.done + counts.cancelled == counts.accepted == 401

    # schedules

    def test_a_job_counts_as_a_run_of_its_schedule_again(self, backend: Backend, client: redis.Redis) -> None:
        """S10"""
        fill(backend)
        (run,) = backend.store.live(TICK)
        client.delete(KEY + "runs:tick")
        assert whats(sweep(backend)) == {("joined", run.key)}
        assert backend.store.live(TICK) == [run]

    @pytest.mark.parametrize("where", [State.READY, State.RUNNING, State.DEAD, State.DELAYED])
    def test_a_live_run_counts_wherever_it_waits_unless_it_is_dead(
        self, backend: Backend, client: redis.Redis, where: State
    ) -> None:
        bring(backend.queue, where, job("tick@5"))
        bring(backend.queue, State.DELAYED, job("tick@5+b1"))
        sweep(backend)
        assert backend.store.live(TICK) == ([] if where is State.DEAD else [JobId(MAIL, "tick@5")])

    @pytest.mark.parametrize("how", ["gone", "dead"])
    def test_a_schedule_waits_for_no_run_that_is_gone(
        self, backend: Backend, client: redis.Redis, how: str
    ) -> None:
        fill(backend)
        (run,) = backend.store.live(TICK)
        if how == "gone":
            client.hdel(KEY + "jobs", run.key)
            client.zrem(KEY + "delayed", f"2{run.key}")
        else:
            client.zrem(KEY + "delayed", f"2{run.key}")
            client.zadd(KEY + "dead", {run.key: 5})
        client.delete(KEY + "wake:time")
        sweep(backend)
        assert backend.store.live(TICK) == []
        assert client.llen(KEY + "wake:time") == 1
        dues, _ = backend.store.due([MAIL], now=NOW, limit=9)
        assert [due.stored.id for due in dues] == [TICK]

    @pytest.mark.parametrize("held", [False, True])
    def test_a_schedule_without_a_due_time_is_looked_at_again(
        self, backend: Backend, client: redis.Redis, held: bool
    ) -> None:
        """S4"""
        fill(backend)
        if not held:
            drain(backend.queue, now=NOW)
            dues, _ = backend.store.due([MAIL], now=NOW + 121 * S, limit=9)
            backend.store.fire([fire(due, now=NOW + 121 * S) for due in dues], fence=1, now=NOW)
        before = client.zscore(KEY + "dues", "tick")
        client.delete(KEY + "dues", KEY + "wake:time")
        assert whats(sweep(backend)) == {("watched", "tick")}
        assert client.zscore(KEY + "dues", "tick") == before
        assert client.llen(KEY + "wake:time") == 1

    def test_a_paused_schedule_is_not_looked_at(self, backend: Backend, client: redis.Redis) -> None:
        plan = schedule()
        cursor = evolve(planned(None, plan, now=NOW)[1], pause=Pause("for now"))
        backend.store.put(plan, cursor=cursor, expected=None, now=NOW)
        assert sweep(backend) == []
        assert not client.exists(KEY + "dues")

    def test_a_schedule_without_a_cursor_begins_anew(self, backend: Backend, client: redis.Redis) -> None:
        """S4"""
        fill(backend)
        client.delete(KEY + "cursors")
        now = NOW + HOUR
        assert ("watched", "tick") in whats(sweep(backend, now=now))
        (stored,) = backend.store.get([TICK])
        assert stored
        assert stored.cursor.next == now + 60 * S

    def test_a_schedule_of_which_nothing_can_be_read_is_due_no_more(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        client.hset(KEY + "schedules", "tick", "junk")
        client.zadd(KEY + "dues", {"tick": 5, "ghost": 5})
        sweep(backend)
        assert not client.exists(KEY + "dues")

    def test_a_schedule_that_changes_meanwhile_is_left_alone(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        """S4, S8"""
        fill(backend)
        client.delete(KEY + "dues")
        keys_, scripts = backend.store.server.keys.of(MAIL), backend.store.server.scripts  # type: ignore[attr-defined]
        places = (keys_.cursors, keys_.dues, keys_.time, keys_.stats)
        text = client.hget(KEY + "cursors", "tick")
        for cursor, due in ((b"other", None), (text, 7)):
            if due:
                client.zadd(KEY + "dues", {"tick": due})
            assert client.eval(scripts["watch"].body, 4, *places, "tick", cursor, 9) == 0
            assert client.zscore(KEY + "dues", "tick") == due

    def test_a_lock_that_is_lost_does_not_go_back_to_tokens_that_were_seen(
        self, backend: Backend, client: redis.Redis
    ) -> None:
        """L4"""
        lease = None
        for n in range(5):
            lease = backend.lock.acquire("scheduler", owner=f"o{n}", ttl=S, now=NOW + 2 * n * S)
        assert lease
        client.delete("contract:lock:scheduler")
        again = backend.lock.acquire("scheduler", owner="x", ttl=LEASE, now=NOW + 60 * S)
        assert again
        assert again.token > lease.token
