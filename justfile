# The single door: `uv run just test` works from a fresh clone, and CI calls these recipes word for word.

set positional-arguments # so that `just test -k "this or that"` arrives in one piece

# uv tells its children where it lives; a just that was started by itself finds it on PATH
uv := env("UV", "uv")
lint := uv + " run --quiet --group lint"

# where the environment forbids compiled modules, every process compiles all of them again: half of its start
export PYTHONDONTWRITEBYTECODE := ""

# a test that hangs shows every thread's stack after two minutes, then ends as a failure
pytest := uv + " run --quiet pytest -o faulthandler_timeout=120 -o faulthandler_exit_on_timeout=true"

# one process more than there are cores, for tests wait a third of their time; `xdist_group` keeps tests together that must not run side by side
spread := "-n " + shell('expr $1 + 1', num_cpus()) + " --maxprocesses 8 --dist loadgroup"

# show what there is
help:
    @just --justfile {{ quote(justfile()) }} --list --unsorted

# format, and mend what ruff can mend
fmt:
    {{ lint }} ruff check --fix .
    {{ lint }} ruff format .

# ruff: rules and format
lint:
    {{ lint }} ruff check .
    {{ lint }} ruff format --check .

# mypy in strict mode, basedpyright on the typing tests
types:
    {{ lint }} mypy
    {{ lint }} basedpyright

# the floors: every import goes downward
layers:
    {{ lint }} lint-imports --no-logo

# the domain and the small parts: no server, no process
unit *args:
    {{ pytest }} {{ spread }} -m "not slow" tests/unit "$@"

# laws that hold for any input; CHRONOQ_LONG=1 looks longer
property *args:
    {{ pytest }} {{ spread }} -m "not slow" tests/property "$@"

# against real servers and real processes
integration *args:
    {{ pytest }} {{ spread }} -m "not slow" tests/integration "$@"

# every test, under five minutes on two cores
test *args:
    {{ pytest }} {{ spread }} -m "not slow" tests "$@"

# the examples in the documentation, run
docs *args:
    {{ pytest }} tests/integration/test_docs.py "$@"

# what delivers into RQ, with the oldest RQ that is supported
rq2 *args:
    {{ uv }} run --quiet --isolated --all-extras --with rq==2.0.0 python -m pytest -q tests/integration/test_relay_rq.py tests/integration/test_compat_rq_scheduler.py "$@"

# kill, stop, starve and poison real processes, with a ledger outside the store; --quick: a small form
chaos *args:
    {{ uv }} run --quiet python -m tests.chaos "$@"

# figures beside the raw ceilings and the peers, in one run; --quick, -o json, --help
bench *args:
    {{ uv }} run --quiet python -m benchmarks "$@"

# the engine in virtual time, so many seeds on all cores; a seed that breaks a law prints as a test
simulate seeds="20000" *args:
    shift; {{ uv }} run --quiet python -m tests.simulator.run {{ seeds }} "$@"

# drop one check of one Lua script at a time: the contract suite has to notice each
mutate-lua *args:
    {{ uv }} run --quiet python tests/mutate_lua.py "$@"

# everything that has to be green before a commit, with the longer form of the lockstep and oracle tests
check: lint types layers
    CHRONOQ_CHECK=1 just --justfile {{ quote(justfile()) }} test
    just --justfile {{ quote(justfile()) }} chaos --quick
