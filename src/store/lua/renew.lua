-- renew: extends the leases of one worker's runs.
-- ARGV: lease in ms, then for each run: run, epoch, owner
-- Returns for each run: 'ok' or 'lost', and the stop request or ''.
local lease = tonumber(ARGV[1])
local answer = {}
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  local run = redis.call('HMGET', run_key(id), 'place', 'epoch', 'owner', 'stop')
  if run[1] == 'leased' and run[2] == ARGV[i + 1] and run[3] == ARGV[i + 2] then
    redis.call('ZADD', P .. 'leases', NOW + lease, id)
    answer[#answer + 1] = 'ok'
  else
    answer[#answer + 1] = 'lost'
  end
  answer[#answer + 1] = run[4] or ''
end
return answer
