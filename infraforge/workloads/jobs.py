"""Clients that request jobs, and the results: a history for `acknowledged_writes_kept`.

    with jobs.Load(developer, project.id, file="plan.bin") as load:
        load.until(acknowledged=30)
    history = load.history + jobs.outcome(developer, site, project.id)

A request for a job is an `add` of its id, which the client chooses; it is acknowledged once the
backend has accepted it. What was done is read twice: from the results, and from the events that
announce the results, where a job that was done twice would show.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import uuid
from typing import Any

from infraforge.components.site import Site
from infraforge.errors import TimedOut
from infraforge.history import History
from infraforge.probes import queue
from infraforge.recorder import Recorder
from infraforge.wait import seconds, wait_until
from infraforge.workloads.backend_client import BackendClient, Refused, Unknown
from infraforge.workloads.crew import Crew
from infraforge.workloads.register import twin


class Load(Crew):
    """Clients, one thread each, that request jobs on one project for the duration of the block.

    file: the file for checksum jobs; "" requests reports instead. pace: seconds between two
    requests of a client. A client continues after a temporary refusal (503).
    """

    def __init__(
        self,
        client: BackendClient,
        project: str,
        *,
        file: str = "",
        clients: int = 2,
        pace: float = 0.05,
    ) -> None:
        self._project = project
        self._body: dict[str, Any] = {"kind": "report"}
        if file:
            self._body = {"kind": "checksum", "file": file}
        self._recorder = Recorder()
        self._acknowledged = itertools.count(1)
        self._so_far = 0
        tasks = {f"client-{n}": functools.partial(self._ask, twin(client)) for n in range(clients)}
        super().__init__(tasks, pause=lambda: pace)

    @property
    def history(self) -> History:
        """The requests and answers so far."""
        return self._recorder.history

    def until(self, *, acknowledged: int, within: float = 60.0) -> None:
        """Wait until so many more jobs are acknowledged. Raises TimedOut."""
        goal = self._so_far + acknowledged

        def enough() -> bool:
            self.complain()
            return self._so_far >= goal

        wait_until(enough, within, every=0.05, what=f"{acknowledged} more jobs are acknowledged")

    def _ask(self, client: BackendClient) -> None:
        process, job = threading.current_thread().name, str(uuid.uuid4())
        with self._recorder.call(
            process, "add", value=job, fail=(Refused,), info=(Unknown,)
        ) as call:
            client.create_job(self._project, {**self._body, "id": job})
            call.ok(job)
            self._so_far = next(self._acknowledged)


def outcome(client: BackendClient, site: Site, project: str, *, within: float = 90.0) -> History:
    """Wait until no job of the project is queued, then read what was done, from both places.

    After `within` it reads what there is: jobs queued forever are for the checker to see.
    """
    with contextlib.suppress(TimedOut):
        wait_until(
            lambda: not [job for job in client.jobs(project) if job.state == "queued"],
            within,
            every=1.0,
            what="no job is queued",
            ignoring=(Unknown,),
        )
    recorder = Recorder()
    with recorder.call("results", "read") as call:
        call.ok(tuple(job.id for job in client.jobs(project) if job.state == "done"))
    wanted = {str(job) for job in recorder.history.calls[0].value or ()}  # type: ignore[union-attr]
    with contextlib.suppress(TimedOut):  # the last events may still be under way
        wait_until(
            lambda: wanted <= set(queue.jobs_announced(site, project)),
            seconds(20),
            what="the events of all results are there",
        )
    with recorder.call("events", "read") as call:
        call.ok(queue.jobs_announced(site, project))
    return recorder.history
