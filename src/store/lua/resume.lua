-- resume: opens the next attempt of a failed or stopped run, from its checkpoint; or of a completed one whose
-- terminal event could not be delivered, to send that again.
-- ARGV: run, how long after its end a run may be resumed in ms, depth to admit to, nonce of this call
-- Returns {'missing'} | {'unfit', status} | {'gone'} | {'resumed', attempt}
local id = ARGV[1]
local run = redis.call('HMGET', run_key(id), 'place', 'status', 'finished', 'checkpoint', 'trigger', 'stripped', 'undelivered', 'resumed', 'attempt')
if not run[1] then return {'missing'} end
-- Done before; its answer was lost.
if run[8] == ARGV[4] then return {'resumed', tonumber(run[9])} end
if run[1] ~= 'ended' or (run[2] == 'completed' and run[7] ~= '1') then return {'unfit', run[2]} end
if run[6] or NOW - tonumber(run[3]) > tonumber(ARGV[2]) then return {'gone'} end
local attempt = redis.call('HINCRBY', run_key(id), 'attempt', 1)
redis.call('HSET', run_key(id), 'status', run[4] and 'running' or 'created', 'decided', '0', 'crashes', '0',
  'resumed', ARGV[4], 'updated', NOW)
redis.call('HDEL', run_key(id), 'stop', 'poison', 'outcome', 'finished', 'reason')
redis.call('ZREM', P .. 'ended', id)
redis.call('SADD', P .. 'live', id)
if (run[5] or '') ~= '' then redis.call('SADD', P .. 'trigger-runs:' .. run[5], id) end
log(id, '{"what":"resumed","note":"attempt ' .. attempt .. '"}')
to_backlog(id)
admit(tonumber(ARGV[3]))
return {'resumed', attempt}
