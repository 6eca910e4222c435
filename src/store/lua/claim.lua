-- claim: gives a ready run to a worker under a lease and a new epoch, and takes its entry off the stream.
-- `claim_begun` is the same script for a Redis whose memory is full: it passes there, and gives only a run that has
-- something to finish. Any other is parked for a while, which keeps the ready stream clear for those.
-- ARGV: run, stream entry, worker, owner (a nonce of this claim), lease in ms, crashes in a row that make a run a suspect,
--       for claim_begun: how long other runs wait in ms, why they do
-- Returns {} when the entry is stale (it is dropped), {'waits'} when the run was parked, else
--   {epoch, rev, attempt, request, checkpoint or '', stop or '', poison or '', gate generation, gate opens, now,
--    previous run or '', bytes staged by the partition's other runs, crashes in a row, the ticket for its key
--    or '', '1' when it was found to be that key's only holder, stages as name, bytes, …}
local id, entry, worker, owner, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local run = redis.call('HMGET', run_key(id), 'place', 'entry', 'owner', 'epoch', 'rev', 'attempt', 'request',
  'checkpoint', 'poison', 'account', 'series', 'crashes', 'key', 'ticket', 'held', 'stop')
local again = run[1] == 'leased' and run[3] == owner
if not again then
  redis.call('XACK', P .. 'ready', 'workers', entry)
  redis.call('XDEL', P .. 'ready', entry)
  if run[1] ~= 'ready' or run[2] ~= entry then return {} end
  -- Whoever admitted it knew nothing of keys. A run that should stop needs none for that.
  if (run[13] or '') ~= '' and not run[14] and not run[16] then
    wait_for_key(id, run[13])
    return {}
  end
  if ARGV[7] and not (run[8] or run[9] or run[16]) then
    local wake = NOW + tonumber(ARGV[7])
    redis.call('HSET', run_key(id), 'place', 'parked', 'wake', wake, 'reason', ARGV[8], 'updated', NOW)
    redis.call('HDEL', run_key(id), 'entry')
    redis.call('ZADD', P .. 'parked', wake, id)
    return {'waits'}
  end
  run[4] = fresh_epoch(run[4])
  redis.call('HSET', run_key(id), 'place', 'leased', 'epoch', run[4], 'owner', owner, 'worker', worker,
    'status', 'running', 'claimed', NOW, 'updated', NOW)
  redis.call('HDEL', run_key(id), 'wake', 'entry', 'reason', 'alone')
  redis.call('ZADD', P .. 'leases', NOW + lease, id)
  local note = 'by worker ' .. worker .. ', epoch ' .. run[4]
  if tonumber(run[12]) >= tonumber(ARGV[6]) then
    note = note .. '; a suspect, since its last ' .. run[12] .. ' claims ended in a crash: waits until it is alone'
  end
  log(id, '{"what":"claimed","note":"' .. note .. '"}')
end
local stop, generation, opens = notice(id)
local answer = {run[4], run[5], run[6], run[7], run[8] or '', stop, run[9] or '', generation, opens, text(NOW),
  redis.call('HGET', P .. 'watermarks:' .. run[10], run[11]) or '',
  text(tonumber(redis.call('GET', P .. 'staged') or '0') - tonumber(redis.call('ZSCORE', P .. 'stages', id) or '0')),
  run[12], run[14] or '', run[15] or ''}
for _, part in ipairs(redis.call('HGETALL', P .. 'stage:' .. id)) do answer[#answer + 1] = part end
return answer
