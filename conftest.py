"""Names the plugin, nothing else."""

import pytest

pytest.register_assert_rewrite("infraforge.plugin")
import infraforge.plugin  # noqa: E402, F401 - where that fails, pytest ends with 4, and not with 3

pytest_plugins = ["infraforge.plugin"]
