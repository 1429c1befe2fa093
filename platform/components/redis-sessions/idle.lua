-- Ends sessions that nobody has used for long. ARGV pattern, seconds; returns how many.
-- Every question to OAuth2 Proxy reads its session, and Redis knows when a key was last read.
-- Locks end by themselves. Small numbers are shared objects, whose idle time means nothing.
--
-- Only a master ends sessions. Reads are not replicated, so a replica knows no idle times: to a
-- promoted one every session looks unused since it was written. `idle:master` says since when the
-- present history of replication, which every promotion begins anew, has had its master. Whatever was
-- used before that counts as used at that moment: a promotion signs nobody out early, and an idle
-- session lives longer by at most the limit.
-- A restart reads every key, too. So the last use of each is kept beside it: a key that has been idle
-- for as long as the server runs (SLACK: loading takes some seconds) was last used when that says.
local SLACK, KEPT_FOR = 10, 36000
local now = tonumber(redis.call('TIME')[1])
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
if string.match(info, 'role:(%a+)') ~= 'master' then
  return 0
end
local up = tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
local history = string.match(info, 'master_replid:(%x+)')
local noted, since = string.match(redis.call('GET', 'idle:master') or '', '^(%x+) (%d+)$')
if noted ~= history then
  -- promoted: it goes on from another server's history; else it started as master
  local promoted = string.match(info, 'second_repl_offset:(-?%d+)') ~= '-1'
  since = promoted and now or 0
  redis.call('SET', 'idle:master', history .. ' ' .. since)
end
since = tonumber(since)
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
      if last < since then
        last = since
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
