-- alone: notes that a suspect has its worker to itself from now on. Only then may its next crash make it poison.
-- ARGV: run, epoch, owner
-- Returns 'ok' | 'lost'
local id = ARGV[1]
local run = redis.call('HMGET', run_key(id), 'place', 'epoch', 'owner', 'alone', 'worker')
if run[1] ~= 'leased' or run[2] ~= ARGV[2] or run[3] ~= ARGV[3] then return 'lost' end
if run[4] ~= '1' then
  redis.call('HSET', run_key(id), 'alone', '1', 'updated', NOW)
  log(id, '{"what":"alone","note":"worker ' .. (run[5] or '?') .. ' runs nothing else until its next checkpoint"}')
end
return 'ok'
