-- prune: forgets what its retention says. A run that can no longer be resumed loses its stages first, then the
-- whole run goes.
-- ARGV: life of an ended run in ms, time to resume in ms, most ended runs to keep, most runs to handle
-- Returns {runs removed, runs stripped of their stages, 1 when there may be more to do, else 0}
local limit = tonumber(ARGV[4])
local removed, stripped = 0, 0
local function remove(id)
  unstage(id)
  redis.call('DEL', run_key(id), P .. 'log:' .. id)
  redis.call('ZREM', P .. 'ended', id)
  redis.call('ZREM', P .. 'runs', id)
  removed = removed + 1
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'ended', '-inf', NOW - tonumber(ARGV[1]), 'LIMIT', 0, limit)) do
  remove(id)
end
local surplus = redis.call('ZCARD', P .. 'ended') - tonumber(ARGV[3])
if surplus > 0 then
  for _, id in ipairs(redis.call('ZRANGE', P .. 'ended', 0, math.min(surplus, limit) - 1)) do remove(id) end
end
-- What ended before this was looked at already; those that ended within the same millisecond are taken together.
local from, to = redis.call('GET', P .. 'stripped-to') or '-inf', NOW - tonumber(ARGV[2])
local stale = redis.call('ZRANGEBYSCORE', P .. 'ended', '(' .. from, to, 'WITHSCORES', 'LIMIT', 0, limit)
local last = stale[#stale]
if last then
  if #stale == 2 * limit then stale = redis.call('ZRANGEBYSCORE', P .. 'ended', '(' .. from, last, 'WITHSCORES') end
  for i = 1, #stale, 2 do
    if unstage(stale[i]) == 1 then
      redis.call('HSET', run_key(stale[i]), 'stripped', '1')
      stripped = stripped + 1
    end
  end
  redis.call('SET', P .. 'stripped-to', last)
end
return {removed, stripped, (removed >= limit or #stale >= 2 * limit) and 1 or 0}
