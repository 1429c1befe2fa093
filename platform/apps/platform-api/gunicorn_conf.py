"""gunicorn: one worker with threads, which waits for the API server most of the time."""

from infraforge_shared.serving import *  # noqa: F403  gunicorn reads the names of this file

graceful_timeout = 15
timeout = 60
