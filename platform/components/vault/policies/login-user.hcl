# What the token of a person who has just given a password may do: take one authorization code.
path "identity/oidc/provider/default/authorize" {
  capabilities = ["read", "update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
