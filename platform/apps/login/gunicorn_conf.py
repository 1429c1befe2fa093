"""gunicorn: one worker with threads, which waits for Vault most of the time."""

from infraforge_shared.serving import *  # noqa: F403  gunicorn reads the names of this file

graceful_timeout = 10
timeout = 30
