# Vault's server configuration. Addresses come from the environment (statefulset.yaml).
ui            = false
# no IPC_LOCK under Pod Security "restricted"; the node has no swap
disable_mlock = true
log_level     = "info"

storage "raft" {
  path = "/vault/data"
  # a member stands for election after one second without a leader, not after five
  performance_multiplier = 1
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  tls_cert_file   = "/etc/tls/tls.crt"
  tls_key_file    = "/etc/tls/tls.key"
  tls_min_version = "tls12"
}
