-- enqueue: accepts a run, once for its id and once for its idempotency key.
-- ARGV: run, account, series, mutex or '', key or '', trigger or '', created, wake or '', request,
--       idempotency key or '', its life in ms, most runs that may wait before it, depth to admit to
-- Returns {'created', run} | {'exists', run} | {'full', number waiting}
local id, account, idempotency = ARGV[1], ARGV[2], ARGV[10]
if idempotency ~= '' then
  local before = redis.call('GET', P .. 'idempotency:' .. idempotency)
  if before then return {'exists', before} end
end
if redis.call('EXISTS', run_key(id)) == 1 then return {'exists', id} end
local waiting = crowd(account, ARGV[4], ARGV[5])
if waiting >= tonumber(ARGV[12]) then return {'full', tostring(waiting)} end
create(id, account, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9])
if idempotency ~= '' then redis.call('SET', P .. 'idempotency:' .. idempotency, id, 'PX', ARGV[11]) end
admit(tonumber(ARGV[13]))
return {'created', id}
