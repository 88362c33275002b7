"""What is written can be read again, is written the same way each time, and is read strictly."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from chronoq.adapters.codec import (
    Malformed,
    Note,
    decode,
    decode_ending,
    decode_job,
    decode_schedule,
    encode,
    encode_ending,
    encode_job,
    encode_schedule,
    fingerprint,
    is_work,
    schedule_of,
    up_ms,
)
from chronoq.adapters.cursors import Damaged, encode_cursor, expected_text, read_cursor
from chronoq.adapters.records import Records
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import DEFAULTS, Ending, Job, Options, Origin, Pause, Priority, Progress, State
from chronoq.domain.lease import Kind, Process, Vitals
from chronoq.domain.ports import PLAIN
from chronoq.domain.retry import Failure, RetryPolicy
from chronoq.domain.rhythm import cron, every, once, union
from chronoq.domain.schedule import Cursor, Happened, Outcome, Overlap, Policy, Schedule
from chronoq.domain.time import EPOCH, from_ms, from_us, to_ms
from tests.unit.made import S, job

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
ODD = NOW + timedelta(microseconds=456)
JOB = Job(JobId("mail", "a"), "tasks.send", b'[["a@b.c"],{}]', NOW, NOW)
SCHEDULE = ScheduleId("mail", "daily")
read_job = Records.of(PLAIN).read_job
OPTIONS = Options(
    Priority.HIGH,
    RetryPolicy.listed(["1s", "5s"]),
    timedelta(microseconds=1_500_001),
    timedelta(hours=1),
    remember=timedelta(days=1),
    meta='{"ä":1}'.encode(),
)

moments = st.integers(0, 4_000_000_000_000).map(from_ms)
lengths = st.integers(0, 10**15).map(lambda us: timedelta(microseconds=us))
options = st.builds(
    Options,
    priority=st.sampled_from(Priority),
    retry=st.builds(
        RetryPolicy,
        retries=st.integers(0, 100),
        delays=st.lists(lengths, min_size=1, max_size=3),
        factor=st.floats(1, 10),
        cap=lengths,
        jitter=st.booleans(),
        retry_on=st.lists(st.text(max_size=5), max_size=2),
    ),
    timeout=st.none() | lengths,
    expires=st.none() | lengths,
    meta=st.text(max_size=9).map(str.encode),
)
origins = st.builds(
    Origin,
    schedule=st.just(SCHEDULE) | st.just(ScheduleId("other", "x")),
    nominal=moments,
    start=st.none() | moments,
    end=st.none() | moments,
)
jobs = st.builds(
    Job,
    st.just(JOB.id),
    task=st.text(max_size=20),
    payload=st.binary(max_size=40),
    due=moments,
    enqueued_at=moments,
    options=st.just(DEFAULTS) | options,
    origin=st.none() | origins,
)


@given(jobs)
def test_a_job_is_read_as_it_was_written(job: Job) -> None:
    assert decode_job(job.id, encode_job(job)) == job


def test_a_default_job_is_written_short() -> None:
    moment = up_ms(NOW)
    assert encode_job(JOB) == b'\n["tasks.send",%d,%d]\n%b' % (moment, moment, JOB.payload)
    assert encode_job(evolve(JOB, options=Options())) == encode_job(JOB)


def test_jobs_share_their_options() -> None:
    record = encode_job(evolve(JOB, options=OPTIONS))
    assert decode_job(JOB.id, record).options is decode_job(JOB.id, record).options
    assert decode_job(JOB.id, encode_job(JOB)).options is DEFAULTS


def test_nothing_is_stored_as_due_earlier_than_asked() -> None:
    assert decode_job(JOB.id, encode_job(evolve(JOB, due=ODD))).due == NOW + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"garbage",
        b"\n\n",
        b"\n[]\n",
        b'\n{"task":"t"}\n',
        b'\n["t",1]\nnull',
        b'\n["t",1,true]\nnull',
        b'\n["t","1",2]\nnull',
        b"\n[null,1,2]\nnull",
        b'\n["t",1,1e3]\nnull',
        b'\n["t",1,99999999999999999]\nnull',
        b'\n["t",1,2,["s"]]\nnull',
        b'\n["t",1,2,["s","1",null,null]]\nnull',
        b'{"retry":{"retries":"5"}}\n["t",1,2]\nnull',
        b'{"retry":{"retries":-1}}\n["t",1,2]\nnull',
        b'{"retry":{"retry_on":"abc"}}\n["t",1,2]\nnull',
        b'{"priority":9}\n["t",1,2]\nnull',
        b'{"timeout":1.5}\n["t",1,2]\nnull',
        b'{"meta":5}\n["t",1,2]\nnull',
    ],
)
def test_a_record_that_is_not_just_right_becomes_a_defect(record: bytes) -> None:
    with pytest.raises(Malformed, match="record cannot be read"):
        decode_job(JOB.id, record)
    job = read_job(JOB.id, record, now=NOW)
    assert (job.id, job.task, job.payload, job.due) == (JOB.id, "?", b"null", NOW)
    assert 0 < len(job.defect) < 300


def test_a_missing_record_is_a_defect() -> None:
    assert "missing" in read_job(JOB.id, None, now=NOW).defect


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_reading_whatever_is_there_never_fails_otherwise(text: bytes) -> None:
    assert read_job(JOB.id, text, now=NOW).id == JOB.id
    read_cursor(text)
    for read in (
        lambda: decode_ending(JOB.id, text),
        lambda: decode_schedule(SCHEDULE, text),
        lambda: decode(Note, text),
    ):
        with suppress(Malformed):
            read()


def test_work_is_task_and_payload() -> None:
    work = fingerprint(JOB)
    assert is_work(evolve(JOB, due=ODD, options=OPTIONS), work)
    assert not is_work(evolve(JOB, task="tasks.other"), work)
    assert not is_work(evolve(JOB, payload=b"null"), work)
    assert is_work(JOB, fingerprint(evolve(JOB, defect="lost")))


def test_the_schedule_of_a_job_is_known_from_its_key_alone() -> None:
    origin = Origin(SCHEDULE, NOW)
    assert schedule_of(JOB) == ""
    assert schedule_of(evolve(JOB, origin=origin)) == "daily"
    assert schedule_of(evolve(JOB, id=JobId("mail", "daily@17"), defect="lost")) == "daily"
    backfill = JobId("mail", "daily@17+b1")
    assert schedule_of(evolve(JOB, id=backfill, origin=origin)) == ""
    assert schedule_of(evolve(JOB, id=backfill, defect="lost")) == ""


@pytest.mark.parametrize("result", [b"", b"null", b'"two\\nlines"', b"two\nlines"])
def test_an_ending_is_read_as_it_was_written(result: bytes) -> None:
    text = encode_ending(JOB, State.DONE, at=NOW, result=result)
    memory = decode_ending(JOB.id, text)
    assert memory.ending == Ending(JOB.id, State.DONE, NOW, result)
    assert (memory.task, memory.work) == (JOB.task, fingerprint(JOB))
    assert text.startswith(b"%d %b " % (up_ms(NOW + DEFAULTS.keep), fingerprint(JOB).encode()))


@pytest.mark.parametrize("state", ["ready", "dead", "unheard"])
def test_only_endings_are_read_as_endings(state: str) -> None:
    with pytest.raises(Malformed):
        decode_ending(JOB.id, b'1 ab ["%b",1,"t"]\n' % state.encode())


@pytest.mark.parametrize(
    "rhythm",
    [every("5m"), once(NOW), cron("0 9 * * 1-5", tz="Europe/Berlin"), union(every("1h"), cron("@daily"))],
)
def test_a_schedule_is_read_equal_to_what_was_written(rhythm: object) -> None:
    policy = Policy(
        catch_up=3, overlap=Overlap.QUEUE_ALL, jitter=timedelta(seconds=1), starts_at=ODD, max_fires=2
    )
    schedule = Schedule(SCHEDULE, rhythm, "tasks.send", b"[[],{}]", policy, OPTIONS)  # type: ignore[arg-type]
    assert decode_schedule(SCHEDULE, encode_schedule(schedule)) == schedule
    assert encode_schedule(schedule) == encode_schedule(decode_schedule(SCHEDULE, encode_schedule(schedule)))


@given(
    st.builds(
        Cursor,
        version=st.integers(1, 9),
        next=st.none() | moments,
        since=moments.map(lambda moment: moment + timedelta(microseconds=7)),
        last=st.none() | moments,
        fires=st.integers(0, 9),
        held=st.booleans(),
        pause=st.none() | st.builds(Pause, st.text(max_size=5), st.none() | moments),
    )
)
def test_equal_cursors_have_equal_texts(cursor: Cursor) -> None:
    text = encode_cursor(cursor)
    again, defect = read_cursor(text)
    assert (again, defect) == (cursor, "")
    assert expected_text(again) == text == encode_cursor(evolve(cursor))
    assert encode_cursor(evolve(cursor, fires=cursor.fires + 1)) != text


@pytest.mark.parametrize("more", [b'"lane":{"x":[1]},', b'"pause":{"note":"n","by":"me"},'])
def test_what_a_newer_version_wrote_into_a_cursor_is_compared_and_kept(more: bytes) -> None:
    text = b'{"fires":3,' + more + b'"next":5000,"since":7000,"version":2}'
    cursor, defect = read_cursor(text)
    assert (cursor.fires, cursor.version, defect) == (3, 2, "")
    assert expected_text(cursor) == text
    moved = encode_cursor(evolve(cursor, fires=4, pause=None))
    assert (b'"lane":{"x":[1]}' in moved) == (b"lane" in more)
    assert read_cursor(moved)[0].fires == 4


def test_what_a_newer_version_wrote_besides_is_passed_by() -> None:
    assert decode_job(JOB.id, b'{"unheard":1}\n["t",1,2,0,{"lane":1}]\nnull').task == "t"
    origin = b'\n["t",1,2,["s",1,null,null,5],5]\nnull'
    assert decode_job(JOB.id, origin).origin == Origin(ScheduleId("mail", "s"), from_ms(1))
    assert decode_ending(JOB.id, b'1 ab ["done",1,"t",{"lane":1}]\n').task == "t"
    assert decode(Vitals, b'{"running":2,"lane":1}') == Vitals(running=2)
    plan = Schedule(SCHEDULE, every("5m"), "tasks.send", b"[[],{}]")
    record = encode_schedule(plan).replace(b'{"options"', b'{"lane":1,"options"', 1)
    assert b"lane" in record
    assert decode_schedule(SCHEDULE, record) == plan


@pytest.mark.parametrize(
    "part",
    [
        *("version=true", 'version="1"', "version=null", "since=null", "since=1.5", "since=9e99"),
        *("next=false", "next=0.5", 'last="7"', "last=[]", "fires=true", "fires=null", "held=1", "held=null"),
        *("since=99999999999999999999", "next=9223372036854775807"),
    ],
)
def test_no_part_of_a_cursor_is_taken_for_what_it_is_not(part: str) -> None:
    name, _, value = part.partition("=")
    whole = {"version": 1, "next": 5000, "since": 7000, "last": 3000, "fires": 2, "held": True}
    assert not read_cursor(json.dumps(whole).encode())[1]
    cursor, defect = read_cursor(json.dumps(whole | {name: json.loads(value)}).encode())
    assert isinstance(cursor, Damaged)
    assert defect


@pytest.mark.parametrize("text", [None, b"", b"junk", b"{}", b'{"version":"1","next":1,"since":1}'])
def test_a_cursor_that_cannot_be_read_can_be_replaced(text: bytes | None) -> None:
    cursor, defect = read_cursor(text)
    assert isinstance(cursor, Damaged)
    assert defect
    assert expected_text(cursor) == (text or b"")
    mended, none = read_cursor(encode_cursor(evolve(cursor, pause=Pause(defect))))
    assert (mended, none) == (Cursor(0, None, mended.since, pause=Pause(defect)), "")


@pytest.mark.parametrize(
    "value",
    [
        Failure("ValueError", "no\nsuch", "Traceback", ("builtins.ValueError",)),
        Note(Failure("X")),
        Note(reason="later"),
        Outcome(NOW, Happened.FIRED, ODD),
        Outcome(NOW, Happened.MISSED, NOW, last=NOW, count=None, note="n"),
        Progress(1, 2.5),
        Vitals(1, 2, 3, leader=True),
        Process("p1", Kind.WORKER, "host", 17, NOW, "0.1", ("mail",), ("t",), 8),
        OPTIONS,
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_read_as_they_were_written(value: object) -> None:
    assert decode(type(value), encode(value)) == value  # type: ignore[arg-type]


@given(st.integers(-62_000_000_000_000_000, 253_402_300_799_999_999))
def test_a_moment_is_exact_to_the_microsecond_before_and_after_any_shortcut(us: int) -> None:
    assert from_us(us) == EPOCH + timedelta(microseconds=us)
    assert from_ms(us // 1000) == EPOCH + timedelta(milliseconds=us // 1000)


def test_a_job_is_written_as_itself_whatever_was_written_before_it() -> None:
    """What neighbours have in common is written once."""
    first = job("a")
    others = [
        evolve(first, task="another"),
        evolve(first, due=first.due + S),
        evolve(first, enqueued_at=first.enqueued_at - S),
        evolve(first, options=evolve(first.options, timeout=9 * S)),
    ]
    for one in (first, *others, first, *reversed(others)):
        assert decode_job(one.id, encode_job(first)) == first
        assert decode_job(one.id, encode_job(one)) == one


def test_an_ending_is_written_as_itself_whatever_was_written_before_it() -> None:
    first = job("a")
    endings = [
        (first, State.DONE, NOW),
        (evolve(first, task="another"), State.DONE, NOW),
        (first, State.CANCELLED, NOW),
        (first, State.DONE, NOW + S),
        (evolve(first, options=evolve(first.options, result_ttl=9_000_000 * S)), State.DONE, NOW),
    ]
    for one, state, at in (*endings, *reversed(endings)):
        encode_ending(*endings[0][:2], at=NOW)
        found = decode_ending(one.id, encode_ending(one, state, at=at))
        assert (found.task, found.ending.state, found.ending.at) == (one.task, state, at)
        assert found.until == to_ms(at + one.options.keep)
