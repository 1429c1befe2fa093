"""The login page: takes a name and a password, and brings back an authorization code from Vault."""
