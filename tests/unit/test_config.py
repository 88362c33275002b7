"""Settings: where they come from, which one wins, and what is said of a wrong one."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import fields

from chronoq.config import Configured, Settings, configure, mistyped
from chronoq.domain.errors import BadSetting, UnknownOption

PYPROJECT = """
[tool.chronoq]
url = "memory://table"
lease = "10s"
grace = 5
concurrency = 2
"""


def made(tmp_path: Path, table: str = PYPROJECT, **layers: Any) -> Configured:
    (tmp_path / "pyproject.toml").write_text(table)
    return configure(**{"environ": {}, "folder": tmp_path, **layers})


def test_without_a_word_from_anyone_the_defaults_hold(tmp_path: Path) -> None:
    configured = made(tmp_path, "")
    assert configured.settings == Settings()
    assert set(configured.sources.values()) == {"default"}
    assert set(configured.sources) == {one.name for one in fields(Settings)}


def test_the_defaults_are_those_that_the_documentation_names() -> None:
    settings = Settings()
    assert settings.url == "memory://"
    assert settings.namespace == "chronoq"
    assert settings.concurrency == 8
    assert (settings.lease, settings.grace) == (timedelta(seconds=10), timedelta(seconds=30))
    assert settings.max_crashes == 3
    assert settings.park_for == settings.remember == timedelta(days=1)
    assert settings.max_payload == 256_000


def test_a_flag_goes_before_the_environment_the_program_the_table_and_the_default(tmp_path: Path) -> None:
    configured = made(
        tmp_path,
        flags={"url": "memory://flag"},
        environ={"CHRONOQ_URL": "memory://env", "CHRONOQ_LEASE": "20s"},
        code={"url": "memory://code", "lease": "30s", "grace": "40s"},
    )
    settings, sources = configured.settings, configured.sources
    assert (settings.url, sources["url"]) == ("memory://flag", "a flag")
    assert (settings.lease, sources["lease"]) == (timedelta(seconds=20), "CHRONOQ_LEASE")
    assert (settings.grace, sources["grace"]) == (timedelta(seconds=40), "the program")
    assert (settings.concurrency, sources["concurrency"]) == (2, str(tmp_path / "pyproject.toml"))
    assert (settings.max_crashes, sources["max_crashes"]) == (3, "default")


def test_what_is_none_is_not_said(tmp_path: Path) -> None:
    configured = made(tmp_path, flags={"url": None}, code={"url": None})
    assert configured.settings.url == "memory://table"


def test_the_nearest_table_above_the_folder_counts(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert made(tmp_path, folder=below).settings.concurrency == 2


def test_other_variables_are_nobodys_business(tmp_path: Path) -> None:
    assert made(tmp_path, "", environ={"CHRONOQ_NO_COLOR": "1", "URL": "x"}).settings == Settings()


def test_a_table_that_is_only_talked_about_is_no_table(tmp_path: Path) -> None:
    assert made(tmp_path, "# see [tool.chronoq] in the documentation\n").settings == Settings()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"pyproject\.toml cannot be read"):
        made(tmp_path, "[tool.chronoq]\nlease = \n")


def test_an_unknown_setting_is_refused_with_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownOption) as caught:
        made(tmp_path, code={"concurency": 4})
    assert str(caught.value) == "'concurency' is not a setting (the program). Did you mean 'concurrency'?"


def test_an_unknown_setting_in_the_table_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownOption, match=r"'leese' is not a setting \(.*pyproject\.toml\)\. Did you mean 'lease'\?"
    ):
        made(tmp_path, "[tool.chronoq]\nleese = 1\n")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lease", "soon"),
        ("lease", 0),
        ("lease", "-5s"),
        ("lock_ttl", "0s"),
        ("grace", True),
        ("concurrency", 0),
        ("concurrency", 2.5),
        ("concurrency", True),
        ("concurrency", "many"),
        ("max_crashes", "0"),
        ("max_payload", "lots"),
        ("max_payload", "-1"),
        ("max_payload", "inf"),
        ("namespace", "a:b"),
        ("namespace", ""),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_source(
    tmp_path: Path, setting: str, value: object
) -> None:
    with pytest.raises(BadSetting) as caught:
        made(tmp_path, code={setting: value})
    assert str(caught.value).startswith(f"{setting}={value!r} (from the program) cannot be used: ")


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1_000), ("256kB", 256_000), ("1.5 MB", 1_500_000), ("12b", 12), (7, 7)]
)
def test_sizes_are_read_with_their_units(tmp_path: Path, text: object, size: int) -> None:
    assert made(tmp_path, code={"max_payload": text}).settings.max_payload == size


def test_numbers_are_read_from_the_text_of_the_environment(tmp_path: Path) -> None:
    assert made(tmp_path, "", environ={"CHRONOQ_CONCURRENCY": "16"}).settings.concurrency == 16


def test_no_grace_at_all_is_allowed(tmp_path: Path) -> None:
    assert made(tmp_path, "", code={"grace": 0}).settings.grace == timedelta(0)


def test_a_variable_that_is_nearly_a_setting_is_pointed_out() -> None:
    environ = {
        "CHRONOQ_CONCURENCY": "4",
        "CHRONOQ_LEASE": "5s",
        "CHRONOQ_APP": "a:b",
        "CHRONOQ_DATABASE": "x",
    }
    assert mistyped(environ) == [
        "CHRONOQ_CONCURENCY is not a setting, so it changes nothing. Did you mean 'CHRONOQ_CONCURRENCY'?"
    ]
    ours = ("CHRONOQ_DEV_CHILD", "CHRONOQ_WORKER_CHILD", "CHRONOQ_LONG", "CHRONOQ_CHECK", "CHRONOQ_WHATEVER")
    assert mistyped(dict.fromkeys(ours, "1")) == []
