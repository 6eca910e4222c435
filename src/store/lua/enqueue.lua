-- enqueue: accepts a run, once for its id and once for its idempotency key.
-- ARGV: run, account, series, mutex or '', trigger or '', created, wake or '', request,
--       idempotency key or '', its life in ms, the account's most waiting runs, depth to admit to
-- Returns {'created', run} | {'exists', run} | {'full', number waiting}
local id, account, idempotency = ARGV[1], ARGV[2], ARGV[9]
if idempotency ~= '' then
  local before = redis.call('GET', P .. 'idempotency:' .. idempotency)
  if before then return {'exists', before} end
end
if redis.call('EXISTS', run_key(id)) == 1 then return {'exists', id} end
local waiting = redis.call('ZCARD', P .. 'backlog:' .. account)
if waiting >= tonumber(ARGV[11]) then return {'full', tostring(waiting)} end
create(id, account, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8])
if idempotency ~= '' then redis.call('SET', P .. 'idempotency:' .. idempotency, id, 'PX', ARGV[10]) end
admit(tonumber(ARGV[12]))
return {'created', id}
