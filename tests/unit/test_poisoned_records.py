"""Whatever somebody writes into a job's record: the worker gives a verdict on it and goes on (Q12)."""

from datetime import timedelta
from typing import Any, get_args

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from chronoq.adapters.codec import encode_ending
from chronoq.adapters.records import Records
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, State
from chronoq.domain.ports import PLAIN
from chronoq.domain.verdict import Verdict
from tests.unit.bench import Bench
from tests.unit.made import NOW

HUGE = 10**15
numbers = st.sampled_from([0, 1, -1, 10**12, 253402300799999, HUGE, 2**63 - 1, -(2**62)]) | st.integers(
    -HUGE, HUGE
)
odd: st.SearchStrategy[Any] = (
    numbers | st.floats(allow_nan=False) | st.text(max_size=3) | st.none() | st.booleans()
)
retry = st.dictionaries(
    st.sampled_from(["retries", "delays", "factor", "cap", "jitter", "retry_on"]),
    odd | st.lists(odd, max_size=3),
    max_size=3,
)
options = st.none() | st.dictionaries(
    st.sampled_from(["priority", "retry", "timeout", "expires", "result_ttl", "remember", "meta"]),
    odd | retry,
    max_size=3,
)
origins = st.lists(odd | st.just("nightly"), max_size=5)
envelopes = st.lists(st.just("fail") | numbers | odd | origins, max_size=5) | st.tuples(
    st.just("fail"), numbers, numbers
)
payloads = st.sampled_from([b"[[],{}]", b"[[1],{}]", b"[", b""])


def record(options: object, envelope: object, payload: bytes) -> bytes:
    return b"\n".join([b"" if options is None else orjson.dumps(options), orjson.dumps(envelope), payload])


@given(st.builds(record, options, envelopes, payloads) | st.binary(max_size=60))
@example(record({"expires": 9 * 10**17}, ["fail", 0, 253402300799000], b"[[],{}]"))
@example(
    record(
        {"retry": {"cap": 9 * 10**17, "delays": [9 * 10**17], "jitter": False}}, ["fail", 0, 0], b"[[],{}]"
    )
)
@example(record({"timeout": 9 * 10**17}, ["fail", 0, 0], b"[[],{}]"))
def test_there_is_a_verdict_and_it_can_be_stored(text: bytes) -> None:
    bench = Bench()

    @bench_task(bench)
    def fail() -> None:
        raise ValueError("no")

    job = Records.of(PLAIN).read_job(JobId("default", "a"), text, now=NOW)
    claim = Claim(job, 1, 1, "w1", NOW + timedelta(seconds=30))
    assert bench.runner.run(bench.hands.take(claim))
    (verdict,) = bench.verdicts()
    assert isinstance(verdict, get_args(Verdict))
    assert encode_ending(job, State.DONE, at=NOW)


def bench_task(bench: Bench) -> Any:
    return lambda fn: bench.task("fail", fn)
