"""Names the plugin, nothing else."""

pytest_plugins = ["infraforge.plugin"]
