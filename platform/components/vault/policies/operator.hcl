# What the harness may do at a running Vault. It comes with a ten-minute ServiceAccount token and
# gets a token of ten minutes. Engines, auth methods, audit devices, this policy and this role are
# made during bootstrap and cannot be changed with it.

# people and groups
path "auth/userpass/users/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "auth/userpass/users" {
  capabilities = ["list"]
}
path "auth/ldap/config" {
  capabilities = ["create", "read", "update"]
}
path "identity/entity" {
  capabilities = ["create", "update"]
}
path "identity/entity/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "identity/entity-alias" {
  capabilities = ["create", "update"]
}
path "identity/entity-alias/*" {
  capabilities = ["read", "delete", "list"]
}
path "identity/lookup/*" {
  capabilities = ["create", "update"]
}
path "identity/group" {
  capabilities = ["create", "update"]
}
path "identity/group/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "sys/auth" {
  capabilities = ["read"]
}

# the OIDC provider
path "identity/oidc/key/platform" {
  capabilities = ["create", "read", "update"]
}
path "identity/oidc/scope/*" {
  capabilities = ["create", "read", "update"]
}
path "identity/oidc/client/*" {
  capabilities = ["create", "read", "update"]
}
path "identity/oidc/provider/default" {
  capabilities = ["create", "read", "update"]
}

# what the backend lives on
path "database/config/*" {
  capabilities = ["create", "read", "update", "list"]
}
path "database/rotate-root/*" {
  capabilities = ["update"]
}
path "database/roles/*" {
  capabilities = ["create", "read", "update", "list"]
}
path "database/creds/backend" {
  capabilities = ["read"]
}
path "kv/data/backend/*" {
  capabilities = ["create", "read", "update"]
}
path "kv/metadata/backend/*" {
  capabilities = ["read", "list"]
}
path "sys/policies/acl/backend" {
  capabilities = ["create", "read", "update"]
}
# the same under its older name, which the Python client uses
path "sys/policy/backend" {
  capabilities = ["create", "read", "update"]
}
path "auth/kubernetes/role/backend" {
  capabilities = ["create", "read", "update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}
path "sys/leases/lookup/database/creds/*" {
  capabilities = ["list", "sudo"]
}
path "sys/leases/revoke" {
  capabilities = ["update"]
}
path "sys/leases/revoke-prefix/database/creds/*" {
  capabilities = ["update", "sudo"]
}

# what the workers live on
path "kv/data/worker/*" {
  capabilities = ["create", "read", "update"]
}
path "sys/policies/acl/worker" {
  capabilities = ["create", "read", "update"]
}
path "sys/policy/worker" {
  capabilities = ["create", "read", "update"]
}
path "auth/kubernetes/role/worker" {
  capabilities = ["create", "read", "update"]
}

# what tells Vault who is in the directory
path "sys/policies/acl/ldap" {
  capabilities = ["create", "read", "update"]
}
path "sys/policy/ldap" {
  capabilities = ["create", "read", "update"]
}
path "auth/kubernetes/role/ldap" {
  capabilities = ["create", "read", "update"]
}

# looking only: what is enforced, and that no root token is left
path "sys/policies/acl/operator" {
  capabilities = ["read"]
}
path "sys/policies/acl/login-user" {
  capabilities = ["read"]
}
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/audit" {
  capabilities = ["read", "sudo"]
}
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/accessors/" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
