-- token_end: keeps what came of renewing an account's access token of a generation: new tokens, or why the source refused;
-- neither when the renewal failed and may be tried again. New tokens count even if the caller's time was over, unless
-- somebody else renewed meanwhile: the source may not give them twice.
-- An account that is refused, and one that is let in again, is announced.
-- A person's consent comes with no generation: it takes the place of whatever there is, and of what is being renewed.
-- ARGV: account, generation or -1, sealed tokens or '', refusal or '', announcement
-- Returns 1 when it counts, else 0
local key = P .. 'token:' .. ARGV[1]
local generation = tonumber(redis.call('HGET', key, 'generation') or '0')
if tonumber(ARGV[2]) >= 0 and generation ~= tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', key, 'until')
if ARGV[3] ~= '' then
  redis.call('HSET', key, 'generation', text(generation + 1), 'sealed', ARGV[3])
  if redis.call('HDEL', key, 'refused') == 1 then announce(ARGV[1] .. ':' .. text(generation + 1), ARGV[5]) end
elseif ARGV[4] ~= '' then
  local before = redis.call('HGET', key, 'refused')
  redis.call('HSET', key, 'refused', ARGV[4])
  -- Of other credentials it is news again.
  if not before or cjson.decode(before).of ~= cjson.decode(ARGV[4]).of then
    announce(ARGV[1] .. ':' .. text(generation) .. ':refused:' .. text(NOW), ARGV[5])
  end
end
return 1
