-- apply: puts and deletes definitions, all or none, if nobody changed any since they were read. KEYS[1] is the
-- definitions' prefix, `rb:{<environment>.definitions}:`.
-- ARGV: generation they were read at, then for each: kind, id, record (JSON) or '' to delete,
--       content address or '', content
-- Returns {'ok', generation} | {'changed', generation}
local generation = redis.call('GET', P .. 'generation') or '0'
if generation ~= ARGV[1] then return {'changed', generation} end
for i = 2, #ARGV, 5 do
  if ARGV[i + 2] == '' then redis.call('HDEL', P .. ARGV[i], ARGV[i + 1])
  else redis.call('HSET', P .. ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
  if ARGV[i + 3] ~= '' then
    redis.call('SET', P .. 'content:' .. ARGV[i + 3], ARGV[i + 4], 'NX')
    redis.call('ZADD', P .. 'contents', NOW, ARGV[i + 3])
  end
end
-- Never a number it had before: not even when Redis lost the last ones.
generation = fresh_epoch(generation)
redis.call('SET', P .. 'generation', generation)
return {'ok', generation}
