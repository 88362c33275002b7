"""Fresh keys: each is new, and those of one time are neighbours."""

import subprocess
import sys

from chronoq.app.keys import Mint
from chronoq.domain.identity import JobId


def test_a_key_is_made_once_and_is_a_name() -> None:
    mints = Mint(), Mint()
    keys = [mint.key() for _ in range(5000) for mint in mints]
    assert len(set(keys)) == len(keys)
    assert {JobId("q", key).key for key in keys} == set(keys)
    assert {len(key) for key in keys} == {16}


def test_the_keys_of_one_time_are_neighbours_in_order() -> None:
    mint = Mint()
    keys = [mint.key() for _ in range(512)]
    for part in (keys[:256], keys[256:]):
        assert part == sorted(part)
        assert len({key[:14] for key in part}) == 1
    assert keys[0][:14] != keys[256][:14]


FORKS = """
import os
from chronoq.app.keys import Mint
mint = Mint()
mint.key()
if child := os.fork():
    os.waitpid(child, 0)
print(mint.key(), flush=True)
"""


def test_a_forked_child_makes_keys_of_its_own() -> None:
    one, other = subprocess.check_output([sys.executable, "-c", FORKS], text=True).split()
    assert one[:14] != other[:14]
