-- release: a checkpoint, and the run goes back to the front of its account's backlog for another worker.
-- ARGV: depth to admit to, then what write() takes
-- Returns 'ok' | 'lost'
local state = write(2)
if state == 'lost' then return 'lost' end
if state == 'ok' then
  settled(2)
  redis.call('ZREM', P .. 'leases', ARGV[2])
  to_backlog(ARGV[2])
  admit(tonumber(ARGV[1]))
end
return 'ok'
