# The rights of a person's token right after the password check: get one authorization code.
path "identity/oidc/provider/default/authorize" {
  capabilities = ["read", "update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
