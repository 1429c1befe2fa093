-- Ends what nobody has used for long. ARGV pattern, seconds; returns how many.
-- Every question to OAuth2 Proxy reads its session, and Redis knows when a key was last read.
-- Locks end by themselves; small numbers are shared objects, whose time says nothing.
-- A restart reads every key, so when each was last used is kept beside it: what has been idle for as
-- long as the server runs (SLACK: it takes some seconds to load) was last used when that says.
local SLACK, KEPT_FOR = 10, 36000
local now = tonumber(redis.call('TIME')[1])
local up = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
local cursor, ended = '0', 0
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 500)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local idle = not string.find(key, '%.lock$') and redis.call('OBJECT', 'IDLETIME', key)
    if idle then
      local beside = 'idle:last:' .. key
      local before = tonumber(redis.call('GET', beside) or '')
      local last = now - idle
      if before and before < last and idle + SLACK >= up then
        last = before
      end
      if now - last >= tonumber(ARGV[2]) then
        ended = ended + redis.call('UNLINK', key)
        redis.call('DEL', beside)
      elseif last ~= before then
        redis.call('SET', beside, last, 'EX', KEPT_FOR)
      end
    end
  end
until cursor == '0'
redis.call('SET', 'idle:swept', ARGV[2], 'EX', 600)
return ended
