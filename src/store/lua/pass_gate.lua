-- pass_gate: the source answered somebody who passed a gate since it opened. If that was the probe, the others need not wait for
-- the end of its step.
-- ARGV: whose, generation, depth to admit to
-- Returns whether it was
local key = P .. 'gate:' .. ARGV[1]
local gate = redis.call('HMGET', key, 'generation', 'opens', 'ramp', 'till')
if gate[1] ~= ARGV[2] or tonumber(gate[2]) > NOW or gate[3] ~= '2' or tonumber(gate[4]) <= NOW then return 0 end
redis.call('HSET', key, 'till', text(NOW))
if redis.call('ZREM', P .. 'asleep', ARGV[1]) == 1 then
  ring(ARGV[1])
  admit(tonumber(ARGV[3]))
end
return 1
