-- spend: takes one request out of an account's budget: a bucket that holds `most` and fills in `per`.
-- ARGV: account, most, per in ms
-- Returns 0 when there was one, or in how many ms there will be
local key, most, per = P .. 'budget:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = redis.call('HMGET', key, 'left', 'at')
local left = tonumber(bucket[1] or most)
-- A clock that was set back fills nothing.
left = math.min(most, left + math.max(0, NOW - tonumber(bucket[2] or NOW)) * most / per)
if left < 1 then return math.ceil((1 - left) * per / most) end
redis.call('HSET', key, 'left', string.format('%.6f', left - 1), 'at', text(NOW))
redis.call('PEXPIRE', key, per)
return 0
