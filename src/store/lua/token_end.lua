-- token_end: keeps what came of renewing an account's access token of a generation: new tokens, or why the source refused;
-- neither when the renewal failed and may be tried again. New tokens count even if the caller's time was over, unless
-- somebody else renewed meanwhile: the source may not give them twice.
-- ARGV: account, generation, sealed tokens or '', refusal or ''
-- Returns 1 when it counts, else 0
local key = P .. 'token:' .. ARGV[1]
local generation = tonumber(redis.call('HGET', key, 'generation') or '0')
if generation ~= tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', key, 'until')
if ARGV[3] ~= '' then
  redis.call('HSET', key, 'generation', text(generation + 1), 'sealed', ARGV[3])
  redis.call('HDEL', key, 'refused')
elseif ARGV[4] ~= '' then
  redis.call('HSET', key, 'refused', ARGV[4])
end
return 1
