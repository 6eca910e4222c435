-- reconcile: every run that has not ended is in exactly one place; mends what is not. Also gives a mutex whose
-- holder is gone to the next in line, lets every run that waits for a key ask for it again, and removes consumers that are idle and hold nothing.
-- ARGV: scan cursor, runs to look at, lease in ms, idle time after which a consumer is removed in ms
-- Returns {next cursor, runs mended}
local lease = tonumber(ARGV[3])
local scan = redis.call('SSCAN', P .. 'live', ARGV[1], 'COUNT', ARGV[2])
local mended = 0
local function mend(id, note)
  mended = mended + 1
  log(id, '{"what":"mended","note":"' .. note .. '"}')
end
-- Whether the group has handed this entry out: its id is not past the last one delivered.
local delivered
local function was_read(entry)
  if not delivered then
    delivered = '0-0'
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', P .. 'ready')) do
      for i = 1, #group, 2 do
        if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
      end
    end
  end
  local ms, seq = string.match(entry, '(%d+)-(%d+)')
  local last_ms, last_seq = string.match(delivered, '(%d+)-(%d+)')
  ms, seq, last_ms, last_seq = tonumber(ms), tonumber(seq), tonumber(last_ms), tonumber(last_seq)
  return ms < last_ms or (ms == last_ms and seq <= last_seq)
end
for _, id in ipairs(scan[2]) do
  local run = redis.call('HMGET', run_key(id), 'place', 'account', 'entry', 'mutex', 'wake', 'key')
  local place, mutex, key = run[1], run[4] or '', run[6] or ''
  if not place then redis.call('SREM', P .. 'live', id)
  elseif place == 'ended' then redis.call('SREM', P .. 'live', id)
  elseif place == 'backlog' then
    if not redis.call('ZSCORE', P .. 'backlog:' .. run[2], id) then
      to_backlog(id)
      mend(id, 'was in no backlog')
    else
      ring(run[2])
    end
  elseif place == 'ready' then
    if #redis.call('XRANGE', P .. 'ready', run[3], run[3]) == 0 then
      to_ready(id)
      mend(id, 'had no stream entry')
    elseif was_read(run[3]) and #redis.call('XPENDING', P .. 'ready', 'workers', run[3], run[3], 1) == 0 then
      redis.call('XDEL', P .. 'ready', run[3])
      to_ready(id)
      mend(id, 'had a stream entry that a worker read and forgot')
    end
  elseif place == 'leased' then
    if not redis.call('ZSCORE', P .. 'leases', id) then
      redis.call('ZADD', P .. 'leases', NOW + lease, id)
      mend(id, 'had no lease')
    end
  elseif place == 'parked' then
    if not redis.call('ZSCORE', P .. 'parked', id) then
      redis.call('ZADD', P .. 'parked', run[5] or NOW, id)
      mend(id, 'had no timer')
    end
  elseif place == 'waiting' then
    local holder = redis.call('HGET', P .. 'mutexes', mutex)
    local held = holder and redis.call('SISMEMBER', P .. 'live', holder) == 1
    if key ~= '' and (mutex == '' or holder == id) then
      -- Its turn may have come, and whoever should have told it be gone.
      errand('ask', id, key)
      if not redis.call('ZSCORE', P .. 'keyed', id) then
        redis.call('ZADD', P .. 'keyed', NOW, id)
        mend(id, 'waited for its key in no list')
      end
    elseif not held then
      redis.call('HDEL', P .. 'mutexes', mutex)
      leave(id)
      to_backlog(id)
      mend(id, 'waited for a key that nobody held')
    elseif not redis.call('ZSCORE', P .. 'waiting:' .. mutex, id) then
      redis.call('ZADD', P .. 'waiting:' .. mutex, NOW, id)
      mend(id, 'waited in no line')
    end
  end
end
if ARGV[1] == '0' and redis.call('EXISTS', P .. 'ready') == 1 then
  local groups = redis.call('XINFO', 'GROUPS', P .. 'ready')
  if #groups > 0 then
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', P .. 'ready', 'workers')) do
      local fields = {}
      for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
      if fields['pending'] == 0 and fields['idle'] > tonumber(ARGV[4]) then
        redis.call('XGROUP', 'DELCONSUMER', P .. 'ready', 'workers', fields['name'])
      end
    end
  end
end
return {scan[1], mended}
