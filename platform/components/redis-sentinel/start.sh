#!/bin/sh
# Writes Sentinel's configuration, and starts it.
#
# Sentinel keeps what it knows in its own file: who is master, under which epoch, for whom it voted,
# and whom it met. That stays in /data, on the pod's volume: one that had forgotten would name the
# first master again, and vote twice. All else is taken from sentinel.conf as it is now.
set -eu
umask 077
own=/data/sentinel.conf
[ -f "$own" ] || : > "$own"
{
  # a master that is known stands in for the first one
  awk -v own="$own" '
    FILENAME == own { if ($1 == "sentinel" && $2 == "monitor") known[$3] = $4 " " $5; next }
    $1 == "sentinel" && $2 == "monitor" && $3 in known { print $1, $2, $3, known[$3], $6; next }
    { print }' "$own" /etc/redis/sentinel.conf
  echo "sentinel announce-ip $POD_NAME.$DOMAIN"
  # the same for ever: a new one would be a fourth sentinel to the others, and count as one
  echo "sentinel myid $(printf %s "$POD_NAME" | sha1sum | cut -c 1-40)"
  echo "sentinel sentinel-pass $SENTINEL_PASSWORD"
  echo "sentinel auth-pass cache $CACHE_PASSWORD"
  echo "sentinel auth-pass sessions $SESSIONS_PASSWORD"
  grep -E '^sentinel (current-epoch|config-epoch|leader-epoch|known-replica|known-sentinel) ' \
    "$own" || true
} > "$own.new"
mv "$own.new" "$own"
unset SENTINEL_PASSWORD CACHE_PASSWORD SESSIONS_PASSWORD REDISCLI_AUTH
exec redis-server "$own" --sentinel
