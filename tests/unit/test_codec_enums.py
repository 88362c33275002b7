"""Closed sets of words come back as themselves: the domain compares them by identity."""

from attrs import evolve

from chronoq.adapters.codec import decode, decode_schedule, encode, encode_schedule
from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import Options, Priority
from chronoq.domain.lease import Kind, Process
from chronoq.domain.rhythm import every
from chronoq.domain.schedule import Happened, Outcome, Overlap, Policy, Schedule
from chronoq.domain.time import EPOCH

SCHEDULE = Schedule(ScheduleId("q", "s"), every("1s"), "task", b"[[],{}]")


def test_an_overlap_policy_comes_back_as_itself() -> None:
    for overlap in Overlap:
        text = encode_schedule(evolve(SCHEDULE, policy=Policy(overlap=overlap)))
        assert decode_schedule(SCHEDULE.id, text).policy.overlap is overlap


def test_a_priority_comes_back_as_itself() -> None:
    for priority in Priority:
        text = encode_schedule(evolve(SCHEDULE, options=Options(priority=priority)))
        assert decode_schedule(SCHEDULE.id, text).options.priority is priority


def test_what_happened_comes_back_as_itself() -> None:
    for what in Happened:
        assert decode(Outcome, encode(Outcome(EPOCH, what, EPOCH))).what is what


def test_the_kind_of_a_process_comes_back_as_itself() -> None:
    for kind in Kind:
        assert decode(Process, encode(Process("id", kind, "host", 1, EPOCH, "1"))).kind is kind
