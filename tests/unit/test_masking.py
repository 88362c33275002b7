"""What is shown of a URL holds no secret, however the URL is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoq import Scheduler
from chronoq.adapters.redis.address import Address
from chronoq.config import Settings, configure
from chronoq.container import open_backend
from chronoq.domain.errors import BadSetting, ChronoqError
from chronoq.domain.masking import masked

SECRET = "hush"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("unix:///run/redis.sock?db=1&socket_timeout=2", "unix:///run/redis.sock?db=1&socket_timeout=2"),
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("redis://app@cache/0", "redis://app@cache/0"),
        ("redis://app:hush@cache/0", "redis://app:***@cache/0"),
        ("redis://:hush@cache", "redis://:***@cache"),
        ("redis://app:hu@sh@cache", "redis://app:***@cache"),
        ("redis://app:hu/sh@cache", "redis://app:***@cache"),
        ("redis://app:hu:sh@cache", "redis://app:***@cache"),
        ("redis://app:hush?hush@cache", "redis://app:***?***"),
        ("redis://app:hush", "redis://app:***"),
        ("redis://app:p#hush@cache", "redis://app:***#***"),
        ("unix:///run/s?password=hush", "unix:///run/s?password=***"),
        ("unix:///run/s?db=0&PassWord=hush&username=app", "unix:///run/s?db=0&PassWord=***&username=app"),
        ("unix:///run/s?pass%77ord=hush", "unix:///run/s?pass%77ord=***"),
        ("unix:///run/s?password=hu@sh", "unix:///run/s?***"),
        ("unix:///run/s?password=a&hush", "unix:///run/s?password=***&***"),
        (
            "rediss://h/0?ssl_password=hush&ssl_keyfile=/k.pem",
            "rediss://h/0?ssl_password=***&ssl_keyfile=/k.pem",
        ),
        (
            "redis+sentinel://app:hush@h1:26379,h2:26379/main/0?sentinel_password=hush",
            "redis+sentinel://app:***@h1:26379,h2:26379/main/0?sentinel_password=***",
        ),
        (
            "redis://h/0?auth_token=hush&sentinel_kwargs_secret=hush",
            "redis://h/0?auth_token=***&sentinel_kwargs_secret=***",
        ),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert masked(url) == shown


WORDS = st.text(st.sampled_from("ab1:@/?&=#%+[],"), max_size=8)
SCHEMES = st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "redis+cluster"])


@given(SCHEMES, WORDS, WORDS)
def test_a_password_that_is_not_encoded_is_hidden_too(scheme: str, before: str, after: str) -> None:
    url = f"{scheme}://app:{before}{SECRET}{after}@cache:6379/0"
    assert SECRET not in masked(url), url


@pytest.mark.parametrize(
    "url",
    [
        f"redis://app:{SECRET}@127.0.0.1:1/0",
        f"redis://127.0.0.1:1/0?username=app&password={SECRET}",
        f"unix:///nowhere/at/all?password={SECRET}",
        f"redis://app:x/{SECRET}@127.0.0.1:1/0",
        f"redis://app:{SECRET}/x@127.0.0.1:1/0",
        f"redis://app:{SECRET}?x@127.0.0.1:1/0",
        f"redis://app:{SECRET}",
        f"redis://:{SECRET}@127.0.0.1:99999999/0",
        f"redis://app:{SECRET}@127.0.0.1:1/zero",
        f"redis://app:{SECRET}@127.0.0.1:1/0?db=x",
        f"redis://127.0.0.1:1/0?password={SECRET}&no_such_option=1",
        f"rediss://127.0.0.1:1/0?ssl_password={SECRET}&ssl_cert_reqs=maybe",
        f"rediss://127.0.0.1:1/0?ssl_password={SECRET}&ssl_certfile=/none.pem&ssl_keyfile=/none.pem",
        f"redis://app:{SECRET}\u2048@127.0.0.1:1/0",
        f"redis://[app:{SECRET}@127.0.0.1:1/0",
        f"mysql://app:{SECRET}@127.0.0.1/0",
    ],
)
def test_no_error_tells_the_password(url: str) -> None:
    with pytest.raises(ChronoqError) as caught:
        open_backend(url)
    error: BaseException | None = caught.value
    said = []
    while error is not None:
        said.append(f"{error} {error!r}")
        error = error.__cause__
    assert SECRET not in " ".join(said)


def test_nothing_that_is_printed_while_debugging_tells_the_password() -> None:
    url = f"redis://app:{SECRET}@cache:6379/0?ssl_password={SECRET}"
    app = Scheduler(url)
    for shown in (app, app.configured, app.configured.settings, app.container.settings(), Address(url)):
        assert SECRET not in f"{shown!r} {shown}"
    assert Settings(url=url).url == url


def test_a_setting_that_cannot_be_used_is_not_said_to_be_a_url_with_its_password() -> None:
    with pytest.raises(BadSetting) as caught:
        configure(flags={"namespace": "no spaces"}, environ={"CHRONOQ_URL": f"redis://:{SECRET}@h"})
    assert SECRET not in str(caught.value)
