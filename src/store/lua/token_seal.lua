-- token_seal: an account's tokens, sealed with another key, in place of the same tokens sealed before; nothing else about
-- them changes.
-- ARGV: account, as it was sealed, as it is sealed
local key = P .. 'token:' .. ARGV[1]
if redis.call('HGET', key, 'sealed') == ARGV[2] then redis.call('HSET', key, 'sealed', ARGV[3]) end
return 1
