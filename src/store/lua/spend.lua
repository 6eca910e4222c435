-- spend: takes one request out of a budget, of an account or of all accounts of an application: a bucket that holds `most`
-- and fills in `per`; there is none when `most` is 0. While the application's gate is closed there is nothing to take.
-- ARGV: whose, most, per in ms, whether its gate counts
-- Returns 0 when there was one, or in how many ms there may be
if ARGV[4] == '1' then
  local gate = P .. 'gate:' .. ARGV[1]
  local opens = tonumber(redis.call('HGET', gate, 'opens') or '0')
  if opens > NOW then return opens - NOW end
  local left, till = may_pass(gate)
  if left == 0 then return till - NOW end
  if left then redis.call('HINCRBY', gate, 'left', -1) end
end
if ARGV[2] == '0' then return 0 end
local key, most, per = P .. 'budget:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = redis.call('HMGET', key, 'left', 'at')
local left = tonumber(bucket[1] or most)
-- A clock that was set back fills nothing.
left = math.min(most, left + math.max(0, NOW - tonumber(bucket[2] or NOW)) * most / per)
if left < 1 then return math.ceil((1 - left) * per / most) end
redis.call('HSET', key, 'left', string.format('%.6f', left - 1), 'at', text(NOW))
redis.call('PEXPIRE', key, per)
return 0
