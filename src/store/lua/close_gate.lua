-- close_gate: closes the rate-limit gate of an account, or of an application. An answer to a request that was sent under an
-- older generation changes nothing, also when the gate is open again. Generations grow with time, so an expired gate does not
-- begin again at 1. When it opens, one passes, and then twice as many in each step (may_pass in the prelude).
-- ARGV: whose, generation seen, wait in ms, how long a gate is remembered after it opened in ms
-- Returns {generation, opens}
local key = P .. 'gate:' .. ARGV[1]
local gate = redis.call('HMGET', key, 'generation', 'opens')
local generation = tonumber(gate[1] or '0')
if tonumber(ARGV[2]) < generation then return {text(generation), gate[2]} end
generation = math.max(generation + 1, NOW)
local opens = NOW + tonumber(ARGV[3])
redis.call('HDEL', key, 'left', 'till')
redis.call('HSET', key, 'generation', text(generation), 'opens', text(opens), 'ramp', '1')
-- Who waited for the end of a step waits for this.
redis.call('ZADD', P .. 'asleep', 'XX', text(opens), ARGV[1])
redis.call('PEXPIRE', key, tonumber(ARGV[3]) + tonumber(ARGV[4]))
return {text(generation), text(opens)}
