# The rights of the harness at a running Vault. It sends a ServiceAccount token that is valid for ten
# minutes, and gets a Vault token for ten minutes. Bootstrap creates engines, auth methods, audit
# devices, this policy and its role; this policy cannot change them, nor the policies of components. The
# only policy that it can give to anybody is that of people who sign in.

# people and groups
path "auth/userpass/users/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
  allowed_parameters = {
    "token_policies" = ["login-user"]
    "*"              = []
  }
  denied_parameters = {
    "policies" = []
  }
}
path "auth/userpass/users" {
  capabilities = ["list"]
}
path "auth/ldap/config" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "token_policies" = ["login-user"]
    "*"              = []
  }
}
path "identity/entity" {
  capabilities = ["create", "update"]
  denied_parameters = {
    "policies" = []
  }
}
path "identity/entity/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
  denied_parameters = {
    "policies" = []
  }
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
  denied_parameters = {
    "policies" = []
  }
}
path "identity/group/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
  denied_parameters = {
    "policies" = []
  }
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

# what the backend depends on
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

# what the workers depend on
path "kv/data/worker/*" {
  capabilities = ["create", "read", "update"]
}

# read only: to check what is enforced, and that no root token is left
path "sys/policies/acl/*" {
  capabilities = ["read"]
}
path "auth/kubernetes/role/*" {
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
# the owner of a revoked token signs in for a new one, so revoking gives nobody more rights
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
