"""The test servers keep their word."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.servers import KINDS, Server, eventually, find_binary

NewServer = Callable[..., Server]


def test_each_kind_answers_and_says_its_version(any_redis: Server) -> None:
    client = any_redis.client(decode_responses=True)
    info = client.info("server")

    assert client.ping()
    match any_redis.kind:
        case "valkey-9.1":
            assert info["valkey_version"].startswith("9.1.")
        case "redis-6.2":
            assert info["redis_version"].startswith("6.2.")
        case _:
            assert info["redis_version"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_server_that_was_closed(kind: str) -> None:
    if find_binary(kind) is None:
        pytest.skip(f"no {kind} server on this machine")
    with Server(kind) as server:
        pid, folder = server.pid, server.folder
        assert server.answers()

    assert not server.answers()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_servers_share_nothing(new_server: NewServer) -> None:
    one, other = new_server(), new_server()
    one.client().set("a", "1")

    assert other.client().get("a") is None


def test_every_test_begins_with_an_empty_database(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_every_test_begins_with_an_empty_database_also_the_second(redis_url: str) -> None:
    test_every_test_begins_with_an_empty_database(redis_url)


def test_a_restarted_server_is_empty_and_has_the_same_address(new_server: NewServer) -> None:
    server = new_server(tcp=True)
    url = server.url()
    server.client().set("a", "1")

    server.restart()

    assert server.url() == url
    assert server.client().get("a") is None


def test_a_server_with_an_append_only_file_forgets_nothing_when_it_is_killed(new_server: NewServer) -> None:
    server = new_server("redis-6.2" if find_binary("redis-6.2") else "valkey-9.1", aof=True)
    server.client().set("a", "1")

    server.kill()
    assert not server.answers()
    server.start()

    assert server.client().get("a") == b"1"


def test_a_paused_server_answers_only_when_it_is_resumed(new_server: NewServer) -> None:
    server = new_server()

    server.pause()
    assert not server.answers()
    server.resume()

    eventually(server.answers)


def test_a_server_that_wants_a_password_is_ready_too(new_server: NewServer) -> None:
    server = new_server("valkey-9.1", "--requirepass", "secret")

    with pytest.raises(redis.AuthenticationError):
        server.client().ping()
    assert server.client(password="secret").ping()


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="no-such-option"), Server("valkey-9.1", "--no-such-option", "1"):
        pass


def test_a_long_temporary_directory_does_not_make_the_socket_path_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with Server() as server:
        assert len(str(server.socket_path)) < 100
        assert server.client().ping()


def test_a_program_in_a_virtual_environment_is_not_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    program = bin_folder / "redis-server"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(bin_folder))

    assert find_binary("redis-path") == program
    (tmp_path / "pyvenv.cfg").touch()
    assert find_binary("redis-path") is None


def test_waiting_for_what_never_comes_ends_in_a_failure() -> None:
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: False, within=0.01)
