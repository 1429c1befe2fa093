# What the follower may do at Vault: write people, and who is in which group. It may not write the
# rights that a group or a person has at Vault.
path "identity/entity-alias/id" {
  capabilities = ["list"]
}
path "identity/entity-alias" {
  capabilities = ["create", "update"]
}
path "identity/entity/name/*" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "metadata" = []
    "disabled" = []
  }
}
path "identity/entity/id/*" {
  capabilities = ["read", "update", "delete"]
  allowed_parameters = {
    "name" = []
    "metadata" = []
    "disabled" = []
  }
}
path "identity/group/name/admin" {
  capabilities = ["read", "update"]
  allowed_parameters = { "member_entity_ids" = [] }
}
path "identity/group/name/developer" {
  capabilities = ["read", "update"]
  allowed_parameters = { "member_entity_ids" = [] }
}
path "identity/group/name/viewer" {
  capabilities = ["read", "update"]
  allowed_parameters = { "member_entity_ids" = [] }
}
