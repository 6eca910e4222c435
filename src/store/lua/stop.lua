-- stop: asks for a run to stop, or ends it at once when it never started.
-- ARGV: run, reason, outcome (JSON) for a run that never started, nonce of this call
-- Returns {'missing'} | {'ended', status} | {'decided'} | {'requested'} | {'stopped'}
local id = ARGV[1]
local run = redis.call('HMGET', run_key(id), 'place', 'status', 'decided', 'checkpoint', 'stopped')
if not run[1] then return {'missing'} end
-- Done before; its answer was lost.
if run[5] == ARGV[4] then return {'stopped'} end
if run[1] == 'ended' then return {'ended', run[2]} end
if run[3] == '1' then return {'decided'} end
if run[1] ~= 'leased' and not run[4] then
  redis.call('HSET', run_key(id), 'outcome', ARGV[3], 'stopped', ARGV[4])
  conclude(id, 'stopped')
  log(id, '{"what":"stopped","note":"before it started"}')
  admit(1)
  return {'stopped'}
end
redis.call('HSET', run_key(id), 'stop', ARGV[2], 'updated', NOW)
if run[1] ~= 'leased' and run[1] ~= 'ready' then
  leave(id)
  to_ready(id)
end
return {'requested'}
