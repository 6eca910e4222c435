-- spend: takes one request out of a budget, of an account or of all accounts of an application: a bucket that holds `most`
-- and fills in `per`; there is none when `most` is 0. Where its gate counts there is nothing to take while that is closed, and
-- when it has opened no more than may pass it.
-- ARGV: whose, most, per in ms, whether its gate counts
-- Returns {'sent', generation of the gate, whether it was one of those that may pass} | {'limited', ms} | {'held', ms}: in how
-- many ms to ask again
local HELD_MAX = 1000
local gate = P .. 'gate:' .. ARGV[1]
local generation, may = '0', nil
if ARGV[4] == '1' then
  local known = redis.call('HMGET', gate, 'generation', 'opens')
  generation = known[1] or '0'
  local opens = tonumber(known[2] or '0')
  if opens > NOW then return {'limited', text(opens - NOW), '0'} end
  local till
  may, till = may_pass(gate)
  -- The probe may have its answer long before its step is over.
  if may == 0 then return {'held', text(math.min(till - NOW, HELD_MAX)), '0'} end
end
if ARGV[2] ~= '0' then
  local key, most, per = P .. 'budget:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
  local bucket = redis.call('HMGET', key, 'left', 'at')
  local left = tonumber(bucket[1] or most)
  -- A clock that was set back fills nothing.
  left = math.min(most, left + math.max(0, NOW - tonumber(bucket[2] or NOW)) * most / per)
  if left < 1 then return {'limited', text(math.ceil((1 - left) * per / most)), '0'} end
  redis.call('HSET', key, 'left', string.format('%.6f', left - 1), 'at', text(NOW))
  redis.call('PEXPIRE', key, per)
end
if may then redis.call('HINCRBY', gate, 'left', -1) end
return {'sent', generation, may and '1' or '0'}
