#!/bin/sh
# Asks the sentinels who is master, and starts Redis as that or as its replica.
#
# The answer counts that has the highest epoch among those of a majority: whoever was promoted was
# voted for by a majority, so one of any majority knows of it. Fewer answers settle nothing, and
# Redis does not start: two that took themselves for masters would be worse than one that waits.
#
# Whoever is named itself starts as master at once, a cache with nothing in it: its replicas copy
# that, and nothing comes back that was replaced meanwhile. But where a sentinel takes it for dead,
# another may be promoted in this very moment; that is waited for. Not where sentinels have never
# seen a replica: nobody else can be promoted. So does the first of all start, and only member 0:
# a sentinel that knows nothing yet names that one (sentinel.conf).
#
# The sentinels are believed by a certificate of the platform's CA and not by their names, which
# redis-cli 8.0 does not compare.
set -eu
umask 077
trap "exit 143" TERM # a shell that is process 1 would wait for the kill
me="$POD_NAME.$DOMAIN"
here=/run/redis
PATIENCE=10 # seconds: `failover-timeout`, within which a promotion has happened or was given up

# What one sentinel, HOST:PORT, says: the master's name, its epoch, its replicas, its flags; or nothing.
ask() {
  REDISCLI_AUTH="$MEMBER_PASSWORD" timeout 2 redis-cli --tls --cacert /etc/platform-ca/ca.crt \
    --user member -h "${1%:*}" -p "${1#*:}" -e --raw sentinel master "$GROUP" 2>/dev/null |
    awk 'NR % 2 { key = $0; next } { value[key] = $0 }
      END { if ("ip" in value)
        print value["ip"], value["config-epoch"], value["num-slaves"], value["flags"] }' || true
}

# How many answered, the master by the highest epoch, and `doubted` where it may be replaced now.
hear() {
  rm -f "$here"/answer.*
  for sentinel in $sentinels; do
    ask "$sentinel" > "$here/answer.${sentinel%%.*}" &
  done
  wait
  cat "$here"/answer.* | sort -k2,2nr | awk '
    NR == 1 { name = $1; epoch = $2 }
    $2 == epoch && $3 > 0 { replicas = 1 }
    $2 == epoch && $4 ~ /s_down|o_down|failover_in_progress/ { dead = 1 }
    END { print NR, NR ? name : "-", replicas && dead ? "doubted" : "sure" }'
}

begin() {
  {
    echo "include /etc/redis/redis.conf"
    echo "include /etc/redis/replicated.conf"
    echo "replica-announce-ip $me"
    echo "replica-announce-port 6379"
    echo "masteruser replica"
    echo "masterauth $REPLICA_PASSWORD"
    [ "$1" = "$me" ] || echo "replicaof $1 6379"
  } > "$here/redis.conf"
  unset MEMBER_PASSWORD REPLICA_PASSWORD REDISCLI_AUTH
  exec redis-server "$here/redis.conf"
}

rm -f /tmp/temp-*.rdb /data/temp-*.rdb # of copies that a kill broke off
sentinels=$(echo "$REDIS_SENTINELS" | tr , " ")
set -- $sentinels
majority=$(($# / 2 + 1))
told=
waited=0
while :; do
  set -- $(hear)
  if [ "$1" -lt "$majority" ]; then
    now="$1 sentinels answer, and $majority must"
  elif [ "$2" != "$me" ]; then
    echo "$2 is master: starting as its replica"
    begin "$2"
  elif [ "$3" = sure ] || [ "$waited" -ge "$PATIENCE" ]; then
    echo "the sentinels name this member: starting as master"
    begin "$me"
  else
    waited=$((waited + 1))
    now="the sentinels name this member and take it for dead: waiting for a promotion"
  fi
  [ "$now" = "$told" ] || echo "$now"
  told="$now"
  sleep 1
done
