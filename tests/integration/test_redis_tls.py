"""`rediss://` with a real certificate: TLS is spoken to a proxy that ends it in front of a real server."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chronoq.adapters.redis import open_backend
from chronoq.domain.errors import Unreachable
from chronoq.domain.ports import Submitted
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.values import MAIL, NOW, Background, job
from tests.servers import Server

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl here to make a certificate"
)


class Proxy:
    """Ends TLS on a random loopback port, and passes what it hears to the server's Unix socket."""

    def __init__(self, server: Server, context: ssl.SSLContext) -> None:
        self.path = urlsplit(server.url()).path
        self.context = context
        self.loop = asyncio.new_event_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.listening = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(10)
        self.port = self.listening.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self.path)
        await asyncio.gather(
            _pass_on(reader, inner_writer), _pass_on(inner_reader, writer), return_exceptions=True
        )

    def close(self) -> None:
        async def end() -> None:
            self.listening.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("pki")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    )
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(params=[False, True], ids=["server certificate", "client certificate too"])
def mutual(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def proxy(valkey: Server, pki: Path, mutual: bool) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "cert.pem", pki / "key.pem")
    if mutual:
        context.load_verify_locations(pki / "cert.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    valkey.client().flushall()
    proxy = Proxy(valkey, context)
    yield proxy
    proxy.close()


def test_a_job_travels_over_tls(proxy: Proxy, pki: Path, mutual: bool) -> None:
    own = f"&ssl_certfile={pki}/cert.pem&ssl_keyfile={pki}/key.pem" if mutual else ""
    backend = open_backend(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={pki}/cert.pem{own}")
    try:
        assert backend.queue.submit([job("a")], now=NOW) == [Submitted.ACCEPTED]
        backend.queue.wait_ready([MAIL], timeout=timedelta(seconds=5))
        (claim,) = backend.queue.claim([(MAIL, 1)], worker="w", lease=timedelta(seconds=9), now=NOW).claims
        assert backend.queue.settle([(claim, Done(b"1"))], now=NOW) == [True]
    finally:
        backend.close()


@pytest.mark.parametrize("mutual", [False], indirect=True)
def test_who_waits_with_a_claim_is_called_back_over_tls(proxy: Proxy, pki: Path) -> None:
    backend = open_backend(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={pki}/cert.pem")
    queue, hour = backend.queue, timedelta(hours=1)
    wait = partial(queue.wait_claim, [(MAIL, 1)], lease=hour, now=NOW, timeout=timedelta(seconds=9))
    try:
        first = Background(partial(wait, worker="first"))
        queue.submit([job("a")], now=NOW)
        answer = first.answer()
        assert answer is not None
        assert [claim.id.key for claim in answer.claims] == ["a"]
        second = Background(partial(wait, worker="second"))
        queue.recall("second")
        answer = second.answer()
        assert not (answer and answer.claims)
    finally:
        backend.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(proxy: Proxy) -> None:
    with pytest.raises(
        Unreachable, match=r"\(TLS failed\)\. The server's certificate and the TLS options do not fit"
    ):
        open_backend(f"rediss://127.0.0.1:{proxy.port}/0")


@pytest.mark.parametrize("mutual", [True], indirect=True)
def test_a_client_without_its_certificate_is_refused_where_one_is_asked_for(proxy: Proxy, pki: Path) -> None:
    with pytest.raises(Unreachable):
        open_backend(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={pki}/cert.pem")
