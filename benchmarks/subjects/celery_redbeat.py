"""celery's beat with its schedules in Redis, by redbeat: what recurs, only."""

import logging
from datetime import timedelta

from subjects import celery
from subjects.celery import app, sent_within_a_minute

SETTINGS = "RedBeatScheduler without its lock"
ON_KILL = celery.ON_KILL
WORKERS = {}


def recurring(n):
    from celery.schedules import crontab
    from redbeat import RedBeatScheduler, RedBeatSchedulerEntry

    logging.disable(logging.INFO)
    app.conf.redbeat_lock_key = None
    past = app.now() - timedelta(minutes=2)
    for i in range(n):
        RedBeatSchedulerEntry(
            f"c{i}", "noop", crontab(), args=(i, i, "x" * 20), app=app, last_run_at=past
        ).save()
    return sent_within_a_minute(RedBeatScheduler(app=app), n)
