-- release: a checkpoint, and the run goes back to the front of its account's backlog for another worker. No progress
-- lies behind it that was not saved before, so it neither counts as a crash nor forgives one.
-- ARGV: depth to admit to, then what write() takes
-- Returns 'ok' | 'lost'
local crashes = redis.call('HGET', run_key(ARGV[2]), 'crashes')
local state = write(2)
if state == 'lost' then return 'lost' end
if state == 'ok' then
  settled(2)
  redis.call('HSET', run_key(ARGV[2]), 'crashes', crashes)
  redis.call('ZREM', P .. 'leases', ARGV[2])
  to_backlog(ARGV[2])
  admit(tonumber(ARGV[1]))
end
return 'ok'
