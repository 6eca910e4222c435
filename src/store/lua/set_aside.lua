-- set_aside: a worker that can't read a run lets it wait for one that can. Nothing of the run is written but where
-- it is: what a later version saved stays as it was saved. A stop request stays with it, too.
-- ARGV: run, epoch, owner, how long to wait in ms, reason, log line, depth to admit to
-- Returns 'ok' | 'lost'
local id = ARGV[1]
local run = redis.call('HMGET', run_key(id), 'place', 'epoch', 'owner')
if run[2] ~= ARGV[2] or run[3] ~= ARGV[3] then return 'lost' end
-- Done before; its answer was lost.
if run[1] ~= 'leased' then return 'ok' end
local wake = text(NOW + tonumber(ARGV[4]))
redis.call('ZREM', P .. 'leases', id)
redis.call('HSET', run_key(id), 'place', 'parked', 'wake', wake, 'status', 'retrying', 'reason', ARGV[5], 'updated', NOW)
redis.call('HDEL', run_key(id), 'worker')
redis.call('ZADD', P .. 'parked', wake, id)
log(id, ARGV[6])
admit(tonumber(ARGV[7]))
return 'ok'
