-- give_up: a worker says that it has let go of a run without a checkpoint, since it could not reach Redis for as long
-- as it needed. The run goes on from its last checkpoint, and this is no crash.
-- ARGV: run, epoch, owner, depth to admit to
-- Returns 'ok' | 'lost' when somebody else has the run, or it was given up before
local id = ARGV[1]
local run = redis.call('HMGET', run_key(id), 'place', 'epoch', 'owner', 'worker')
if run[1] ~= 'leased' or run[2] ~= ARGV[2] or run[3] ~= ARGV[3] then return 'lost' end
redis.call('ZREM', P .. 'leases', id)
-- Without an owner a write that is still under way comes to nothing.
redis.call('HSET', run_key(id), 'owner', '', 'updated', NOW)
redis.call('HDEL', run_key(id), 'worker')
log(id, '{"what":"given_up","note":"worker ' .. (run[4] or '?') .. ' could not reach Redis for a whole lease"}')
to_backlog(id)
admit(tonumber(ARGV[4]))
return 'ok'
