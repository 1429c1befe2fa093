# What the backend may do at Vault: take a database login, keep it alive, read its own keys, and
# look people up.
path "database/creds/backend" {
  capabilities = ["read"]
}
path "kv/data/backend/*" {
  capabilities = ["read"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
# whether somebody is (still) what their session says
path "identity/entity/id/*" {
  capabilities = ["read"]
}
path "identity/group/id/*" {
  capabilities = ["read"]
}
