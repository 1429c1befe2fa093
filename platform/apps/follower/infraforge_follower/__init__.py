"""The follower: copies people and groups from the directory to Vault, within seconds."""
