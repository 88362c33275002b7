"""One thread that tells all waiting handles of an application how their jobs ended."""

import threading
from collections.abc import Callable
from datetime import timedelta

from attrs import define, field

from chronoq.domain.errors import BackendError
from chronoq.domain.forks import begin_anew
from chronoq.domain.identity import JobId
from chronoq.domain.job import Ending
from chronoq.domain.ports import Clock, QueuePort

Tell = Callable[[Ending | None], None]

LOOK = timedelta(seconds=1)
"""What is announced may be missed, so each second it looks for itself."""

CHUNK = 500


@define(eq=False)
class Listener:
    """Starts with the first who waits, and ends when nobody waits any more."""

    queue: QueuePort
    clock: Clock
    waiting: dict[JobId, list[Tell]] = field(factory=dict)
    guard: threading.Lock = field(factory=threading.Lock)
    running: bool = False
    trouble: BackendError | None = None
    """Why the last look had no answer, if it had none."""
    closed: bool = False

    def __attrs_post_init__(self) -> None:
        begin_anew(self)

    def in_child(self) -> None:
        self.waiting, self.guard, self.running = {}, threading.Lock(), False

    def wait(self, id: JobId, tell: Tell) -> Callable[[], None]:
        """Have `tell` called once with the job's ending, or None when nothing is known of it.

        While the backend does not answer, the wish stands. Returns what takes it back.
        """
        with self.guard:
            self.waiting.setdefault(id, []).append(tell)
            if not self.running:
                self.running = True
                threading.Thread(target=self._listen, name="chronoq-listener", daemon=True).start()

        def stop() -> None:
            with self.guard:
                if tell in self.waiting.get(id, []):
                    self.waiting[id].remove(tell)
                if not self.waiting.get(id):
                    self.waiting.pop(id, None)

        try:
            self._look([id])
        except BackendError as error:  # the thread goes on asking
            self.trouble = error
        return stop

    def close(self) -> None:
        self.closed = True

    def _listen(self) -> None:
        pause, looked_at = threading.Event(), self.clock.now()
        while not self.closed:
            with self.guard:
                ids = list(self.waiting)
                if not ids:
                    self.running = False
                    return
            try:
                heard = self.queue.wait_ended(sorted({id.queue for id in ids}), timeout=LOOK)
                if heard and self.clock.now() < looked_at + LOOK:
                    self._look([id for id in heard if id in self.waiting])
                else:
                    looked_at = self.clock.now()
                    self._look(ids)
                self.trouble = None
            except BackendError as error:
                self.trouble = error
                pause.wait(LOOK.total_seconds())

    def _look(self, ids: list[JobId]) -> None:
        for start in range(0, len(ids), CHUNK):
            chunk, now = ids[start : start + CHUNK], self.clock.now()
            endings = dict(zip(chunk, self.queue.endings(chunk, now=now), strict=True))
            open_ones = [id for id, ending in endings.items() if ending is None]
            live = dict(zip(open_ones, self.queue.get(open_ones, now=now), strict=True)) if open_ones else {}
            for id, ending in endings.items():
                if ending is None and live[id] is not None:
                    continue
                if ending is None:  # it may have ended between the two questions
                    ending = self.queue.endings([id], now=now)[0]
                with self.guard:
                    tells = self.waiting.pop(id, [])
                for tell in tells:
                    tell(ending)
