-- token_begin: asks to renew an account's access token of a generation.
-- ARGV: account, generation, how long the caller alone may renew in ms
-- Returns 0 when the caller may, -1 when it was renewed already, or for how many ms at most somebody else renews it
local key = P .. 'token:' .. ARGV[1]
local kept = redis.call('HMGET', key, 'generation', 'until')
if tonumber(kept[1] or '0') ~= tonumber(ARGV[2]) then return -1 end
local left = tonumber(kept[2] or '0') - NOW
if left > 0 then return left end
redis.call('HSET', key, 'until', text(NOW + tonumber(ARGV[3])))
return 0
