#!/bin/sh
# Ends idle sessions for as long as the store runs; on a replica the script does nothing.
set -u
trap 'exit 0' TERM INT
pattern="__Host-infraforge_session-*"
while :; do
  ended=$(redis-cli --tls --cacert /etc/platform-ca/ca.crt --user sweeper -h localhost -e \
    EVAL "$(cat /etc/idle/idle.lua)" 0 "$pattern" "$IDLE_SECONDS" 2>&1)
  [ "$ended" = 0 ] || echo "idle sessions ended: $ended"
  sleep "$SWEEP_SECONDS" &
  wait $!
done
