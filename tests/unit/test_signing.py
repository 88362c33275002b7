"""A record is read only if somebody who has a key wrote it for that very place."""

from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from chronoq import Scheduler
from chronoq.adapters.codec import Malformed, encode_job, encode_schedule
from chronoq.adapters.records import Records
from chronoq.config import Settings, configure
from chronoq.domain.errors import BadSetting
from chronoq.domain.firing import fire
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.ports import Opening
from chronoq.domain.schedule import Due, Happened, Stored
from chronoq.domain.signing import Signing, SigningKey
from tests.unit.made import NOW, cursor, job, plan

OLD, NEW, FOREIGN = (SigningKey(id, id[0].encode() * 32) for id in ("old", "new", "x"))
HEX = "ab" * 32


def records(*keys: SigningKey, required: bool = True, namespace: str = "chronoq") -> Records:
    return Records.of(Opening(namespace=namespace, signing=Signing(keys, required)))


JOB, PLAN = job("a"), plan()
SIGNED = records(OLD).job(JOB)


def defect(reader: Records, stored: bytes, id: JobId = JOB.id) -> str:
    return reader.read_job(id, stored, now=NOW).defect


def test_a_signed_record_is_the_record_behind_key_and_signature() -> None:
    head, _, record = SIGNED.partition(b":\n")
    assert record == encode_job(JOB)[1:]
    mark, key, signature = head.split(b":")
    assert (mark, key, len(bytes.fromhex(signature.decode()))) == (b"s1", b"old", 32)


def test_without_keys_records_are_as_they_always_were() -> None:
    assert records().job(JOB) == encode_job(JOB)
    assert records().schedule(PLAN) == encode_schedule(PLAN)


@pytest.mark.parametrize(
    "reader", [records(OLD), records(NEW, OLD), records(NEW, OLD, required=False), records()]
)
def test_who_has_the_key_or_none_at_all_reads_it(reader: Records) -> None:
    assert reader.read_job(JOB.id, SIGNED, now=NOW) == JOB
    assert reader.read_schedule(PLAN.id, records(OLD).schedule(PLAN)) == PLAN


def test_the_first_key_signs() -> None:
    assert records(NEW, OLD).job(JOB).startswith(b"s1:new:")
    assert records(NEW).read_job(JOB.id, records(NEW, OLD).job(JOB), now=NOW) == JOB


def test_what_is_not_signed_is_refused_unless_it_is_accepted() -> None:
    plain = encode_job(JOB)
    assert defect(records(OLD), plain) == "the job's record is refused: it is not signed"
    assert defect(records(OLD, required=False), plain) == ""
    assert defect(records(), plain) == ""
    with pytest.raises(Malformed, match="the schedule's record is refused: it is not signed"):
        records(OLD).read_schedule(PLAN.id, encode_schedule(PLAN))


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (records(NEW).job(JOB), "key 'new', which is not among the signing_keys here"),
        (SIGNED.replace(b":old:", b":new:"), "key 'new'"),
        (records(SigningKey("old", b"?" * 32)).job(JOB), "does not fit"),
        (SIGNED.replace(b"send", b"burn"), "does not fit"),
        (records(OLD).job(job("b")), "does not fit"),
        (records(OLD).job(job("a", queue="other")), "does not fit"),
        (records(OLD, namespace="staging").job(JOB), "does not fit"),
        (b"s1:old::" + encode_job(JOB), "does not fit"),
        (b"s1:old", "does not fit"),
        (b"s1:", "key ''"),
    ],
)
def test_what_is_signed_wrongly_is_always_refused(stored: bytes, why: str, required: bool) -> None:
    assert why in defect(records(OLD, required=required), stored)


def test_a_job_is_no_schedule() -> None:
    seal = records(OLD).seal
    id, other = JobId("mail", "a"), ScheduleId("mail", "a")
    with pytest.raises(ValueError, match="does not fit"):
        seal.checked("schedule", other, seal.signed("job", id, b"{}"))


def test_queue_and_key_cannot_be_cut_elsewhere() -> None:
    seal = records(OLD).seal
    with pytest.raises(ValueError, match="does not fit"):
        seal.checked("job", JobId("a", "bc"), seal.signed("job", JobId("ab", "c"), b"{}"))


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_no_byte_of_it_can_be_changed(place: int, by: int) -> None:
    forged = bytearray(SIGNED)
    forged[place] ^= by
    assert defect(records(OLD), bytes(forged))


@given(st.binary(max_size=200))
def test_nothing_that_was_not_signed_is_read(text: bytes) -> None:
    read = records(OLD).read_job(JOB.id, text, now=NOW)
    assert read.defect
    assert (read.task, read.payload) == ("?", b"null")
    assert defect(records(OLD), b"s1:old:" + text)


def test_a_refused_schedule_makes_no_job_and_is_set_aside_with_the_reason() -> None:
    with pytest.raises(Malformed) as caught:
        records(OLD).read_schedule(PLAN.id, encode_schedule(PLAN))
    firing = fire(Due(Stored(PLAN.id, cursor(), defect=str(caught.value))), now=NOW)
    assert firing.jobs == ()
    assert [(one.what, one.note) for one in firing.outcomes] == [
        (Happened.SET_ASIDE, "the schedule's record is refused: it is not signed")
    ]


@pytest.mark.parametrize(
    ("reader", "stored", "answer"),
    [
        (records(NEW, OLD), records(NEW).schedule(PLAN), False),
        (records(NEW, OLD), records(OLD).schedule(PLAN), True),
        (records(NEW, required=False), encode_schedule(PLAN), True),
        (records(), encode_schedule(PLAN), False),
        (records(), records(OLD).schedule(PLAN), False),
    ],
)
def test_a_record_is_outdated_when_the_first_key_did_not_sign_it(
    reader: Records, stored: bytes, answer: bool
) -> None:
    assert reader.seal.outdated(stored) is answer


# the settings


def test_keys_come_as_text_or_from_files(tmp_path: Path) -> None:
    (tmp_path / "k1").write_text("cd" * 40 + "\n")
    found = Settings(signing_keys=f"k2:{HEX}, k1:@{tmp_path / 'k1'}")
    assert found.signing_keys == (SigningKey("k2", b"\xab" * 32), SigningKey("k1", b"\xcd" * 40))
    assert found.signed == Signing(found.signing_keys, required=True)
    assert evolve(found, signing="accept").signed.required is False
    assert Settings(signing_keys="").signed == Signing()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEX, "key 1 is not of the form id:secret"),
        (f"{HEX}:k1", "the secret of key 1 is not hex"),
        (f"{HEX}:{HEX}", "a signing key's id is 1 to 24"),
        (f"k1:{HEX[:-2]}", "key 1: its secret has 31 bytes. Give 32"),
        (f"k1:{HEX}x", "the secret of key 1 is not hex. Make one with `openssl rand -hex 32`"),
        (f"k1:{HEX},k 2:{HEX}", "key 2: a signing key's id"),
        (f"k1:{HEX},k1:{HEX}", "two keys have the same id"),
        ("k1:@/no/such/file", "the file of key 1 cannot be read"),
        ([HEX], "give a text"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_without_telling_it(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="signing_keys=") as caught:
        configure(code={"signing_keys": text}, environ={}, folder=tmp_path)
    assert why in str(caught.value)
    assert HEX[:-2] not in f"{caught.value} {caught.value.__cause__}"


def test_to_ask_for_signatures_without_keys_is_a_mistake() -> None:
    with pytest.raises(BadSetting, match="signing='require' needs keys"):
        Settings(signing="require")
    with pytest.raises(BadSetting, match=r"choose from .* Did you mean 'require'\?"):
        configure(code={"signing": "required", "signing_keys": f"k1:{HEX}"}, environ={})


def test_nothing_that_is_printed_while_debugging_tells_a_key() -> None:
    app = Scheduler(signing_keys=f"k1:{HEX}")
    seal = records(*app.configured.settings.signing_keys).seal
    for shown in (app, app.configured, app.configured.settings, app.container.settings(), seal, Opening()):
        said = f"{shown!r} {shown}"
        assert HEX not in said
        assert "xab" not in said
    assert str(app.configured.settings.signing_keys[0]) == "k1:***"
