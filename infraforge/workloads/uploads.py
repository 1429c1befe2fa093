"""A client that uploads one file after the other, each with bytes derived from its name.

The history is the one that `checkers.acknowledged` judges: an upload adds its name to a set.
"""

from __future__ import annotations

import hashlib
import itertools

from infraforge.history import History, Kind
from infraforge.recorder import Recorder
from infraforge.wait import seconds, wait_until
from infraforge.workloads.backend_client import BackendClient, Refused, Unknown
from infraforge.workloads.crew import Crew
from infraforge.workloads.register import twin
from infraforge.workloads.streams import Stream

_PACE = seconds(0.05)


class Uploads(Crew):
    """One thread that uploads files of `size` bytes into a project, whatever happens."""

    def __init__(self, client: BackendClient, project_id: str, size: int = 300_000) -> None:
        self._client = twin(client)
        self._project = project_id
        self._size = size
        self._recorder = Recorder()
        self._numbers = itertools.count(1)
        super().__init__({"uploader": self._upload}, pause=lambda: _PACE)

    @property
    def history(self) -> History:
        """The uploads so far."""
        return self._recorder.history

    def until(self, *, ended: int, kind: Kind = Kind.OK, within: float = 60.0) -> None:
        """Wait until so many more uploads end that way. Raises Inconclusive, TimedOut."""

        def so_far() -> int:
            self.complain()
            return sum(call.outcome is kind for call in self.history.of("add") if call.completion)

        goal = so_far() + ended
        wait_until(lambda: so_far() >= goal, within, what=f"{ended} more uploads are {kind.value}")

    def _upload(self) -> None:
        name = f"upload-{next(self._numbers)}.bin"
        with self._recorder.call(
            "uploader", "add", value=name, fail=(Refused,), info=(Unknown,)
        ) as call:
            self._client.put_file(self._project, name, content(name, self._size))
            call.ok(name)


def content(name: str, size: int) -> bytes:
    """The bytes of the file with this name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return Stream(size, seed).read()


def read_back(client: BackendClient, project_id: str) -> tuple[History, dict[str, str]]:
    """Read every listed file, as one read of the set; also where listing and bytes disagree.

    A file counts as an element of the set only if its bytes are those of its name, and the listed
    size and checksum match them.
    """
    recorder, names, wrong = Recorder(), [], {}
    with recorder.call("reader", "read") as call:
        for file in client.files(project_id)[0]:
            data = client.get_file(project_id, file.name)
            told = (file.size, file.sha256)
            if told != (len(data), hashlib.sha256(data).hexdigest()):
                wrong[file.name] = f"listed as {told}, but {len(data)} other bytes came"
            elif data == content(file.name, file.size):
                names.append(file.name)
            else:
                wrong[file.name] = "the bytes are another file's"
        call.ok(names)
    return recorder.history, wrong
