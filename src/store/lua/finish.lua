-- finish: the last checkpoint and the outcome; the run ends.
-- ARGV: outcome (JSON), watermark or '' (raised, never lowered), keep stages ('1' or '0'), terminal event undelivered ('1' or '0'),
--       depth to admit to,
--       then what write() takes; its status is the outcome's
-- Returns 'ok' | 'lost'
local state = write(6)
if state == 'lost' then return 'lost' end
if state == 'ok' then
  local id = ARGV[6]
  settled(6)
  redis.call('HSET', run_key(id), 'outcome', ARGV[1], 'undelivered', ARGV[4])
  if ARGV[2] ~= '' then
    local run = redis.call('HMGET', run_key(id), 'account', 'series')
    local key = P .. 'watermarks:' .. run[1]
    if tonumber(redis.call('HGET', key, run[2]) or '0') < tonumber(ARGV[2]) then
      redis.call('HSET', key, run[2], ARGV[2])
    end
  end
  if ARGV[3] == '0' then unstage(id) end
  conclude(id, ARGV[10])
  admit(tonumber(ARGV[5]))
end
return 'ok'
