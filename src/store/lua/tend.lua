-- tend: what any process may do at any time for a partition: wake parked runs and accounts, put back runs whose
-- lease ran out, admit. Nothing is reaped for one whole lease after a time in which nobody tended (Redis was
-- away, or everybody was): the owners could not renew either.
-- ARGV: depth to admit to, lease in ms, most runs of each kind to handle, crashes in a row that make a run poison
-- Returns {woken, reaped, admitted, ms until something is due or -1, errands that are due, announcements that are due}
local depth, lease, limit, crashes_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local beat = tonumber(redis.call('GET', P .. 'beat') or '0')
redis.call('SET', P .. 'beat', NOW)
if NOW - beat > lease / 3 then redis.call('SET', P .. 'reap-after', NOW + lease, 'PX', lease * 2) end

local due = redis.call('ZRANGEBYSCORE', P .. 'parked', '-inf', NOW, 'LIMIT', 0, limit)
for _, id in ipairs(due) do
  redis.call('ZREM', P .. 'parked', id)
  if redis.call('HGET', run_key(id), 'place') == 'parked' then to_backlog(id) end
end

for _, account in ipairs(redis.call('ZRANGEBYSCORE', P .. 'asleep', '-inf', NOW, 'LIMIT', 0, limit)) do
  redis.call('ZREM', P .. 'asleep', account)
  if redis.call('EXISTS', P .. 'backlog:' .. account) == 1 then ring(account) end
end

local reaped = 0
if NOW >= tonumber(redis.call('GET', P .. 'reap-after') or '0') then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', NOW, 'LIMIT', 0, limit)) do
    redis.call('ZREM', P .. 'leases', id)
    if redis.call('HGET', run_key(id), 'place') == 'leased' then
      local run = redis.call('HMGET', run_key(id), 'worker', 'crashes', 'alone')
      local worker, crashes = run[1] or '?', tonumber(run[2]) + 1
      -- The crash that makes it poison must be its own: while other runs shared its worker, it counts no further.
      if crashes < crashes_max or run[3] == '1' then redis.call('HSET', run_key(id), 'crashes', crashes)
      else crashes = crashes - 1 end
      redis.call('HSET', run_key(id), 'owner', '', 'updated', NOW)
      redis.call('HDEL', run_key(id), 'worker', 'alone')
      if crashes >= crashes_max then
        redis.call('HSET', run_key(id), 'poison', 'ended ' .. crashes .. ' workers in a row without a checkpoint between; the last was ' .. worker)
      end
      log(id, '{"what":"reaped","note":"the lease of worker ' .. worker .. ' ran out; crash ' .. crashes .. ' in a row without a checkpoint"}')
      to_backlog(id)
      reaped = reaped + 1
    end
  end
end

local admitted = admit(depth)

local next = -1
for _, name in ipairs({'parked', 'asleep', 'leases', 'errands'}) do
  local first = redis.call('ZRANGE', P .. name, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(tonumber(first[2]) - NOW, 0)
    if next < 0 or wait < next then next = wait end
  end
end
return {#due, reaped, admitted, next, redis.call('ZCOUNT', P .. 'errands', '-inf', NOW),
  redis.call('ZCOUNT', P .. 'announcements', '-inf', NOW)}
