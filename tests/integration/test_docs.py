"""Every Python example in README.md and docs/ runs. A comment above a block says how:

    <!-- file: tasks.py -->   written to the folder in which later blocks of the page run
    <!-- run: memory -->      a program of its own, in memory
    <!-- run: redis -->       the same on a real server: CHRONOQ_URL outranks the URL in the program
    <!-- run: worker -->      the same while a worker and a scheduler run the page's tasks.py
    <!-- run: pytest -->      a test file
    <!-- fragment -->         not a whole program: it compiles

A text block under `<!-- output -->` is what the program above it prints, to the letter.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import frozen

from chronoq.cli.main import run as cli
from tests.proc import chronoq, python
from tests.servers import Server, eventually

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LEADS = r"♔ .* leads"

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^>]+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@frozen
class Block:
    """A fenced block: where it stands, its mark, its text, and what it prints where the page says so."""

    page: Path
    line: int
    language: str
    mark: str
    text: str
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        block = Block(page, line, match["language"], match["mark"] or "", match["text"])
        if block.mark == "output":
            assert found, f"{block} is the output of nothing"
            found[-1] = Block(**{**_fields(found[-1]), "output": block.text})
        else:
            found.append(block)
    return found


def _fields(block: Block) -> dict[str, object]:
    return {name: getattr(block, name) for name in ("page", "line", "language", "mark", "text")}


PYTHON = [block for page in PAGES for block in blocks(page) if block.language in ("python", "py")]


def marked(mark: str) -> list[object]:
    return [pytest.param(block, id=str(block)) for block in PYTHON if block.mark == mark]


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in PYTHON])
def test_every_python_block_compiles_and_says_how_it_runs(block: Block) -> None:
    compile(block.text, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    kinds = ("run: memory", "run: redis", "run: worker", "run: pytest", "fragment")
    assert block.mark in kinds or block.mark.startswith("file: "), f"{block} has no mark above it"


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


COMMANDS = sorted(
    {
        line.strip()
        for page in PAGES
        for line in re.findall(r"^ *python -m chronoq .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_on_a_page_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command, comments=True)[3:]
    assert cli([*words, "--help"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("block", marked("run: memory"))
def test_an_example_in_memory_runs(block: Block, tmp_path: Path) -> None:
    run(block, laid_out(block, tmp_path), url="")


@pytest.mark.parametrize("block", marked("run: redis"))
def test_an_example_on_redis_runs(block: Block, tmp_path: Path, redis_url: str) -> None:
    run(block, laid_out(block, tmp_path), url=redis_url)


@pytest.mark.parametrize("block", marked("run: worker"))
def test_an_example_with_a_worker_runs(block: Block, tmp_path: Path, redis_url: str) -> None:
    folder = laid_out(block, tmp_path)
    for _ in living(folder, redis_url):
        run(block, folder, url=redis_url)


@pytest.mark.parametrize("block", marked("run: pytest"))
def test_an_example_of_a_test_passes(block: Block, tmp_path: Path) -> None:
    folder = laid_out(block, tmp_path)
    (folder / "test_example.py").write_text(block.text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    with python("-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:cacheprovider", cwd=folder) as process:
        assert process.wait(60) == 0, process.out


def laid_out(block: Block, folder: Path) -> Path:
    """A folder with the files that stand above the block on its page."""
    for other in blocks(block.page):
        if other.mark.startswith("file: ") and other.line < block.line:
            (folder / other.mark.removeprefix("file: ")).write_text(other.text, encoding="utf-8")
    return folder


def run(block: Block, folder: Path, *, url: str) -> None:
    program = folder / "example.py"
    program.write_text(block.text, encoding="utf-8")
    with python("-W", "error", str(program), cwd=folder, env={"CHRONOQ_URL": url} if url else {}) as process:
        assert process.wait(60) == 0, "\n".join(process.err)
        if block.output is not None:
            assert process.out == block.output.splitlines()


def living(folder: Path, url: str) -> Iterator[None]:
    """A worker and a scheduler of the page's tasks.py, alive for one turn; they stop gracefully."""
    env = {"CHRONOQ_URL": url}
    with ExitStack() as stack:
        worker = stack.enter_context(chronoq("worker", "--app", "tasks:app", cwd=folder, env=env))
        scheduler = stack.enter_context(chronoq("scheduler", "--app", "tasks:app", cwd=folder, env=env))
        worker.wait_line("concurrency 8", within=30)
        scheduler.wait_line(LEADS, within=30)
        yield
        for process in (worker, scheduler):
            process.sigterm()
            assert process.wait(20) == 0, process.err


# the two quickstarts, as they are pasted

EMBEDDED = """
import asyncio
from chronoq import Scheduler, every

app = Scheduler()                            # memory://

@app.task(retries=3)
async def greet(name: str) -> str:
    return f"hello {name}"

@app.schedule(every("10s"))
def tick() -> None:
    print("tick")

async def main() -> None:
    async with app:                          # scheduler and worker in this process
        job = await greet.aenqueue("Ada")    # typed: ParamSpec
        print(await job.aresult(timeout=5))

asyncio.run(main())
"""

ON_REDIS = """
from chronoq import Scheduler, cron

app = Scheduler("redis://localhost:6379/0", queues=["emails"])

@app.task(queue="emails", timeout="30s")
def send(to: str, subject: str) -> None: ...

@app.schedule(cron("0 9 * * 1-5", tz="Europe/Berlin"), catch_up="latest")
def report() -> None: ...

send.enqueue("a@b.c", "Hi")                               # sync; `await send.aenqueue(...)` in async code
send.using(delay="5m", id="welcome-42").enqueue("a@b.c", "Hi")
app.enqueue_many([send.job("a@b.c", "Hi"), send.job("d@e.f", "Hi")])
"""


def test_the_embedded_quickstart_runs_as_pasted(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(EMBEDDED, encoding="utf-8")
    with python("-W", "error", "hello.py", cwd=tmp_path) as process:
        assert process.wait(30) == 0, process.err
        assert process.out == ["hello Ada"]
        assert process.err == []


def test_the_quickstart_on_redis_runs_as_pasted(tmp_path: Path, valkey: Server, redis_url: str) -> None:
    (tmp_path / "tasks.py").write_text(ON_REDIS, encoding="utf-8")
    env = {"CHRONOQ_URL": redis_url}
    with (
        chronoq("worker", "--app", "tasks:app", cwd=tmp_path, env=env) as worker,
        chronoq("scheduler", "--app", "tasks:app", cwd=tmp_path, env=env) as scheduler,
    ):
        worker.wait_line(r"✔ tasks\.send", within=30)
        scheduler.wait_line(LEADS, within=30)
        client = valkey.client()
        eventually(lambda: client.zcard("chronoq:{default}:dues") == 1)
        # each process imported tasks.py, so each enqueued: three at once, and one job under the id
        eventually(lambda: int(client.hget("chronoq:{emails}:stats", "done") or 0) >= 6)
        assert client.zcard("chronoq:{emails}:delayed") == 1
        for process in (worker, scheduler):
            process.sigterm()
            assert process.wait(20) == 0, process.err
