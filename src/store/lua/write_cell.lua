-- write_cell: writes or deletes a state cell. A change of a run is fenced: of the changes that one run makes to a
-- cell, one with a lower (epoch, step) than the last comes from an owner that was left behind, whoever wrote since.
-- ARGV: namespace, cell, 'set' | 'delete', value (JSON text) or '', run or '' (a person), epoch, step,
--       '1' when the cell must be there, most cells of a namespace, how long a deleted cell's fence is kept in ms
-- Returns {'written', created, updated, '1' when the cell is new} | {'older'} | {'missing'} | {'full'}
--
-- A cell is one line of JSON about it, a line feed, and its value as it was written; a deleted one has no value and
-- stays for a while as the fence (`graves`).
local namespace, cell, deletes, value = ARGV[1], ARGV[2], ARGV[3] == 'delete', ARGV[4]
local run, epoch, step, life = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[10])
local state, cells, graves = P .. 'state:' .. namespace, P .. 'cells:' .. namespace, P .. 'graves:' .. namespace
-- Runs whose last change of a cell is remembered.
local WRITERS_MAX = 8
-- Deleted cells that one call forgets.
local GRAVES_MAX = 100

local old = redis.call('HGET', state, cell)
local head = old and cjson.decode(string.sub(old, 1, string.find(old, '\n', 1, true) - 1)) or {}
local is_there = redis.call('ZSCORE', cells, cell)
if ARGV[8] == '1' and not is_there then return {'missing'} end

local writers = {}
if run ~= '' then writers[1] = {run, epoch, step} end
for _, writer in ipairs(head.writers or {}) do
  if writer[1] ~= run then
    if #writers < WRITERS_MAX then writers[#writers + 1] = writer end
  else
    local last, this = tonumber(writer[2]), tonumber(epoch)
    if this < last or (this == last and tonumber(step) < tonumber(writer[3])) then return {'older'} end
    -- Done before; its answer was lost.
    if this == last and tonumber(step) == tonumber(writer[3]) then
      return {'written', head.created, head.updated, '0'}
    end
  end
end
if not deletes and not is_there and redis.call('ZCARD', cells) >= tonumber(ARGV[9]) then return {'full'} end

head.run, head.updated = run, text(NOW)
head.writers = #writers > 0 and writers or nil
if not is_there then head.created = head.updated end
if not deletes then
  redis.call('HSET', state, cell, cjson.encode(head) .. '\n' .. value)
  redis.call('ZADD', cells, 0, cell)
  redis.call('ZREM', graves, cell)
else
  redis.call('ZREM', cells, cell)
  if head.writers then
    redis.call('HSET', state, cell, cjson.encode(head) .. '\n')
    redis.call('ZADD', graves, NOW, cell)
  else
    redis.call('HDEL', state, cell)
  end
end
for _, grave in ipairs(redis.call('ZRANGEBYSCORE', graves, '-inf', NOW - life, 'LIMIT', 0, GRAVES_MAX)) do
  redis.call('HDEL', state, grave)
  redis.call('ZREM', graves, grave)
end
-- Of a namespace without cells nothing stays but fences, and those not for ever.
local has_cells = redis.call('EXISTS', cells) == 1
for _, key in ipairs({state, graves}) do
  if has_cells then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, life) end
end
return {'written', head.created, head.updated, is_there and '0' or '1'}
