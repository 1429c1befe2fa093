-- Ends what nobody has used for long. ARGV pattern, seconds; returns how many.
-- Every question to OAuth2 Proxy reads its session, and Redis knows when a key was last read.
-- Locks end by themselves; small numbers are shared objects, whose time says nothing.
local cursor, ended = '0', 0
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 500)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local idle = not string.find(key, '%.lock$') and redis.call('OBJECT', 'IDLETIME', key)
    if idle and idle >= tonumber(ARGV[2]) then
      ended = ended + redis.call('UNLINK', key)
    end
  end
until cursor == '0'
redis.call('SET', 'idle:swept', ARGV[2], 'EX', 600)
return ended
