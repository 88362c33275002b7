"""An entry of rq-scheduler becomes a job or a schedule, and is read back from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
import redis
from attrs import evolve

from chronoq import errors
from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import Claim, Origin
from chronoq.domain.schedule import Cursor
from chronoq.relay.rq_entry import Entry, call_payload, cron_for, function_name, queue_for, rq_queue_of
from chronoq.relay.rq_jobs import Blueprint, id_in_rq, rq_job_id

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
S = timedelta(seconds=1)


def fires(entry: Entry, first: datetime | None, count: int = 3) -> list[datetime]:
    schedule, cursor = entry.begun(first, now=NOW)
    found = [cursor.next]
    while found[-1] is not None and len(found) < count:
        found.append(schedule.next_after(found[-1], since=cursor.since))
    return [one for one in found if one]


def test_a_single_entry_is_a_job_whose_rq_job_has_the_same_id() -> None:
    entry = Entry(id="a-1", function="shop.send", payload=b'[["x"],{}]', meta={"who": "us"}, rq={"ttl": 60})
    job = entry.job(NOW + S / 2, now=NOW)
    assert (str(job.id), job.task, job.due, job.payload) == (
        "default:a-1",
        "shop.send",
        NOW + S / 2,
        b'[["x"],{}]',
    )
    assert id_in_rq(job) == "a-1"
    assert Entry.read(job) == entry


@pytest.mark.parametrize("entry", [
    Entry(id="i", function="a.b", interval=S * 90, repeat=4, queue="high"),
    Entry(id="c", function="a.b", cron_string="0 7 * * 1-5", tz="Europe/Berlin", meta={"k": [1]}),
    Entry(id="q", function="a.b", interval=S / 2, queue="mail:high"),
    Entry(id="o", function="a.b"),
], ids=lambda one: one.id)  # fmt: skip
def test_what_is_stored_of_an_entry_says_what_it_was(entry: Entry) -> None:
    assert Entry.read(entry.schedule(NOW)) == entry


def test_an_interval_begins_at_its_first_time_and_keeps_its_fraction() -> None:
    assert fires(Entry(id="x", function="a.b", interval=S / 2), NOW - S) == [NOW - S, NOW - S / 2, NOW]


def test_a_moved_cron_entry_runs_at_the_new_time_once_and_then_as_before() -> None:
    entry = Entry(id="x", function="a.b", cron_string="0 * * * *")
    assert [moment.strftime("%H:%M") for moment in fires(entry, NOW + S * 9060)] == [
        "14:31",
        "15:00",
        "16:00",
    ]
    assert [moment.strftime("%H:%M") for moment in fires(entry, None)] == ["13:00", "14:00", "15:00"]


def test_one_time_is_one_run_under_the_id_of_the_entry() -> None:
    schedule, cursor = Entry(id="x", function="a.b").begun(NOW, now=NOW + S)
    assert cursor == Cursor(1, NOW, NOW + S)
    assert schedule.next_after(NOW, since=NOW) is None
    run = schedule.job("x@1", origin=None, due=NOW, now=NOW)  # type: ignore[arg-type]
    assert id_in_rq(run) == "x"


def test_each_run_of_a_periodic_entry_is_an_rq_job_of_its_own() -> None:
    schedule = Entry(id="x", function="a.b", interval=S).schedule(NOW)
    run = schedule.job("x@1", origin=None, due=NOW, now=NOW)  # type: ignore[arg-type]
    assert id_in_rq(run) == rq_job_id("default:x@1")


@pytest.mark.parametrize(("repeat", "fires"), [(None, None), (0, 1), (1, 1), (3, 3), (-1, None)])
def test_repeat_is_the_number_of_runs_in_all(repeat: int | None, fires: int | None) -> None:
    assert Entry(id="x", function="a.b", interval=S, repeat=repeat).schedule(NOW).policy.max_fires == fires


@pytest.mark.parametrize(("expression", "expected"), [
    ("0 0 13 * 5", ["2026-02-13 00:00:00", "2026-03-13 00:00:00"]),
    ("0 12 1 1 * 2027", ["2027-01-01 12:00:00"]),
    ("30 0 12 1 1 * 2027", ["2027-01-01 12:00:30"]),
    ("0 0 * * L5", ["2026-01-30 00:00:00", "2026-02-27 00:00:00"]),
    ("@daily", ["2026-01-02 00:00:00", "2026-01-03 00:00:00"]),
])  # fmt: skip
def test_cron_is_read_as_rq_scheduler_reads_it(expression: str, expected: list[str]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert [
        f"{moment:%F %T}" for moment in islice(cron_for(expression).fires(start), len(expected))
    ] == expected


@pytest.mark.parametrize("queue", ["default", "mail.high", "mail:high", "rq.zz", "größer", "rq.6d"])
def test_a_queue_of_any_name_has_one_here_and_finds_back(queue: str) -> None:
    assert rq_queue_of(queue_for(queue)) == queue


class Shop:
    def method(self) -> None: ...
    @classmethod
    def of_class(cls) -> None: ...


@pytest.mark.parametrize(("fn", "name"), [
    ("shop.mail.send", "shop.mail.send"),
    (fires, "tests.unit.test_rq_entry.fires"),
    (Shop, "tests.unit.test_rq_entry.Shop"),
    (Shop.of_class, "tests.unit.test_rq_entry.Shop.of_class"),
    (len, "builtins.len"),
])  # fmt: skip
def test_a_function_is_known_by_its_dotted_name(fn: Any, name: str) -> None:
    assert function_name(fn) == name


@pytest.mark.parametrize(("fn", "said"), [
    (Shop().method, "a method of an object"),
    (lambda: None, "no dotted name"),
    ("send", "no dotted name"),
    (3, "no dotted name"),
])  # fmt: skip
def test_what_workers_could_not_import_is_refused(fn: Any, said: str) -> None:
    with pytest.raises(errors.ChronoqError, match=said):
        function_name(fn)


@pytest.mark.parametrize(("value", "why"), [
    (NOW, "datetime.datetime is no JSON type"),
    (Decimal(1), "decimal.Decimal is no JSON type"),
    (b"x", "bytes is no JSON type"),
    ({1, 2}, "set is no JSON type"),
    ({1: "a"}, "the key 1 of a dict is no text"),
    ([{"a": (NOW,)}], "datetime.datetime is no JSON type"),
    (float("nan"), "nan is not a JSON number"),
    (2**64, "longer than 64 bits"),
], ids=str)  # fmt: skip
def test_an_argument_that_json_would_change_is_refused_by_name(value: Any, why: str) -> None:
    with pytest.raises(errors.NotStorable, match=rf"Argument when of f\(\) cannot be stored: .*{why}"):
        call_payload("f", ["x", value], {}, limit=1000, names=["to", "when"])
    with pytest.raises(errors.NotStorable, match=r"Argument #2 of"):
        call_payload("f", ["x", value], {}, limit=1000)
    with pytest.raises(errors.NotStorable, match=r"Argument at of"):
        call_payload("f", [], {"at": value}, limit=1000)


def test_plain_arguments_are_kept_as_they_are() -> None:
    assert call_payload("f", (1, "ä", None, (True, 1.5)), {"k": {"a": []}}, limit=100) == (
        '[[1,"ä",null,[true,1.5]],{"k":{"a":[]}}]'.encode()
    )


@pytest.mark.parametrize(("wrong", "said"), [
    ({"id": "a b"}, "is not allowed"),
    ({"id": "a", "interval": S * 0}, "above zero"),
    ({"id": "a", "meta": {"rq": 1}}, "a key 'rq'"),
    ({"id": "a", "rq": {"tll": 1}}, "Did you mean 'ttl'"),
])  # fmt: skip
def test_an_entry_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.ChronoqError, match=said):
        Entry(function="a.b", **wrong)


@pytest.mark.parametrize(("interval", "looks", "now", "pause"), [
    (None, 0, 0, 1),
    (None, 2, 0, 2.25),
    (None, 30, 0, 15),
    (3600, 0, 0, 1),
    (60, 9, 30, 15),
    (60, 9, 50, 9.9),  # just before the next time
    (60, 9, 59.95, 15),
    (1, 0, 0, 0.25),
    (0.01, 0, 5, 0.05),
])  # fmt: skip
def test_a_run_is_looked_after_as_often_as_its_schedule_needs(
    interval: float | None, looks: int, now: float, pause: float
) -> None:
    blueprint = Blueprint(redis.Redis(), "default")
    length = timedelta(seconds=interval or 0)
    origin = None if interval is None else Origin(ScheduleId("default", "x"), NOW, NOW - length, NOW)
    job = evolve(Entry(id="x", function="a.b").job(NOW, now=NOW), origin=origin)
    claim = Claim(job, token=looks + 1, attempt=1, worker="w", expires_at=NOW)
    moment = NOW + S * now
    assert blueprint.under_way(claim, "started", now=moment).at - moment == S * pause
