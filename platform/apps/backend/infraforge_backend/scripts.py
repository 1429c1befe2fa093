"""What Redis does for the cache in one step each: Lua scripts.

`KEY` holds a value. `KEY:lease` is a sorted set of those who hold fills of that value off or may
fill it: each member with the millisecond (Redis' clock) at which it ends. A member is either one
reader's lease (a random token) or a writer's mark (`w:` and a random token). There is at most one
lease, and only where there is no mark; there are as many marks as there are writers under way.

A writer adds its own mark and takes away its own alone, so no writer can end another's fence. A
mark whose writer died ends by itself.
"""

from __future__ import annotations

MARK = "w:"

# `hold` may set the set's own end to its newest member's: marks outlive leases, and all live alike
_HOLDERS = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function is_mark(holder) return string.sub(holder, 1, 2) == 'w:' end
local function holders(lease)
  redis.call('ZREMRANGEBYSCORE', lease, '-inf', now)
  return redis.call('ZRANGE', lease, 0, -1)
end
local function hold(lease, holder, ms)
  redis.call('ZADD', lease, now + ms, holder)
  redis.call('PEXPIRE', lease, ms)
end
local function end_leases(lease)
  for _, holder in ipairs(holders(lease)) do
    if not is_mark(holder) then redis.call('ZREM', lease, holder) end
  end
end
"""

# KEYS value, lease; ARGV epoch prefix, token, ms
# → {2, body} hit | {1} lease taken | {0} held by a reader | {3} held off by a writer
LOOKUP = f"""
local value = redis.call('GET', KEYS[1])
if value and string.sub(value, 1, #ARGV[1]) == ARGV[1] then
  return {{2, string.sub(value, #ARGV[1] + 1)}}
end
{_HOLDERS}
local found = holders(KEYS[2])
for _, holder in ipairs(found) do
  if is_mark(holder) then return {{3}} end
end
if #found > 0 then return {{0}} end
hold(KEYS[2], ARGV[2], ARGV[3])
return {{1}}
"""
# KEYS value, lease; ARGV token, value, ms → 1 stored | 0 refused: the lease is over, or marked
FILL = f"""
{_HOLDERS}
local mine = false
for _, holder in ipairs(holders(KEYS[2])) do
  if is_mark(holder) then return 0 end
  mine = mine or holder == ARGV[1]
end
if not mine then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""
# KEYS value, lease; ARGV token: the lease is given back, nothing is stored
GIVE_BACK = "redis.call('ZREM', KEYS[2], ARGV[1]) return 1"
# KEYS value, lease, value, lease …; ARGV mark, ms
FENCE = f"""
{_HOLDERS}
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  end_leases(KEYS[i + 1])
  hold(KEYS[i + 1], ARGV[1], ARGV[2])
end
return 1
"""
# KEYS as above; ARGV mark. Other writers' marks stay: their commits may be still to come.
RELEASE = f"""
{_HOLDERS}
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  end_leases(KEYS[i + 1])
  redis.call('ZREM', KEYS[i + 1], ARGV[1])
end
return 1
"""
# KEYS value; ARGV value, ms
KEEP = "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"
KEPT = "return redis.call('GET', KEYS[1])"
