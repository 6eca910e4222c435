-- park: a checkpoint, and the run waits off any worker until `wake`.
-- ARGV: wake, reason, depth to admit to, then what write() takes
-- Returns 'ok' | 'lost'
local state = write(4)
if state == 'lost' then return 'lost' end
if state == 'ok' then
  local id = ARGV[4]
  settled(4)
  redis.call('ZREM', P .. 'leases', id)
  if (redis.call('HGET', run_key(id), 'stop') or '') ~= '' then
    to_ready(id)
  else
    redis.call('HSET', run_key(id), 'place', 'parked', 'wake', ARGV[1], 'reason', ARGV[2])
    redis.call('ZADD', P .. 'parked', ARGV[1], id)
  end
  admit(tonumber(ARGV[3]))
end
return 'ok'
