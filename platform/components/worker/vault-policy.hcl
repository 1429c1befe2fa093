# What a worker may do at Vault: get a database login, renew it, read its own keys.
path "database/creds/worker" {
  capabilities = ["read"]
}
path "kv/data/worker/*" {
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
