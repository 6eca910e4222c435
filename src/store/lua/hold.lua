-- hold: what a claimed run found out about its key: no other run has it, or another one has, and it steps back: off its
-- worker and into the line.
-- ARGV: run, epoch, owner, 'only' | 'back', depth to admit to
-- Returns 'ok' | 'lost'
local id = ARGV[1]
local run = redis.call('HMGET', run_key(id), 'place', 'epoch', 'owner', 'key', 'stop')
if run[1] ~= 'leased' or run[2] ~= ARGV[2] or run[3] ~= ARGV[3] then return 'lost' end
if ARGV[4] == 'only' then
  redis.call('HSET', run_key(id), 'held', '1')
  return 'ok'
end
leave(id)
local status = redis.call('HEXISTS', run_key(id), 'checkpoint') == 1 and 'running' or 'created'
redis.call('HSET', run_key(id), 'owner', '', 'status', status, 'updated', NOW)
redis.call('HDEL', run_key(id), 'worker', 'ticket', 'held')
if redis.call('HGET', P .. 'holds', run[4]) == id then redis.call('HDEL', P .. 'holds', run[4]) end
log(id, '{"what":"stepped back","note":"another run has its mutex: Redis had lost that"}')
if run[5] then to_ready(id) else wait_for_key(id, run[4]) end
admit(tonumber(ARGV[5]))
return 'ok'
