"""The login page: exchanges a name and a password for an authorization code from Vault."""
