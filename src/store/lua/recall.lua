-- recall: what is remembered of an account's records. That counts as a use of the set.
-- ARGV: account, set, then
--   'known', ids        Returns for each its digest, or nil
--   'before', order, n  Returns the ids of the first n records that come before `order`
--   'size'              Returns how many records there are
--   'read_to'           Returns up to where a list was read (JSON), or nil
local account, set, what = ARGV[1], ARGV[2], ARGV[3]
local order = P .. 'order:' .. account .. ':' .. set
redis.call('ZADD', P .. 'sets:' .. account, 'XX', NOW, set)
if what == 'read_to' then return redis.call('HGET', P .. 'read-to:' .. account, set) end
-- What lies below it is forgotten, though it may still be there.
local floor = redis.call('HGET', P .. 'floors:' .. account, set)
if what == 'size' then return redis.call('ZCOUNT', order, floor or '-inf', '+inf') end
if what == 'before' then
  return redis.call('ZRANGEBYSCORE', order, floor or '-inf', '(' .. ARGV[4], 'LIMIT', 0, ARGV[5])
end
local known = {}
for i = 4, #ARGV, CHUNK do
  local upto = math.min(i + CHUNK - 1, #ARGV)
  local digests = redis.call('HMGET', P .. 'seen:' .. account .. ':' .. set, unpack(ARGV, i, upto))
  local places = floor and redis.call('ZMSCORE', order, unpack(ARGV, i, upto))
  for j, digest in ipairs(digests) do
    local forgotten = places and places[j] and tonumber(places[j]) < tonumber(floor)
    known[#known + 1] = not forgotten and digest
  end
end
return known
